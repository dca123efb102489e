"""A suite as the YAML text that `load_suite` reads back to the same: cases with a line between, SQL as blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import yaml

from evals.case import Case
from evals.expectation_format import entry_of
from evals.suite import Suite

WIDTH = 110
_NO_BLOCK = re.compile("[\x85\u2028\u2029]|\n\n\\Z")
"""What a block would not give back: YAML's other line ends; and empty lines at its end, where more may follow."""


def write_suite(suite: Suite, *, remarks: Sequence[str] = ()) -> str:
    """`remarks` become comments above the suite."""
    head: dict[str, Any] = {"suite": suite.name, "assistant": suite.assistant}
    if suite.repeats != 1:
        head["repeats"] = suite.repeats
    comments = "".join(f"# {_comment(remark)}\n" for remark in remarks)
    cases = "\n".join(_indented(_dump([_case(case)])) for case in suite.cases)
    return f"{comments}{_dump(head)}cases:\n{cases}"


def _comment(text: str) -> str:
    """One line of what YAML allows."""
    return "".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split()))


def _case(case: Case) -> dict[str, Any]:
    turns = [{"user": user, "assistant": assistant} for user, assistant in case.earlier]
    asked: dict[str, Any] = {"turns": [*turns, case.question]} if turns else {"question": case.question}
    tags = {"tags": list(case.tags)} if case.tags else {}
    held_out = {"held_out": True} if case.held_out else {}
    flaky = {"flaky": asdict(case.flaky)} if case.flaky is not None else {}
    expect = [entry_of(expectation) for expectation in case.expect]
    return {"id": case.id, **asked, **tags, **held_out, **flaky, "expect": expect}


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        # Entries of a list stand under its name, not beside it.
        super().increase_indent(flow, False)

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _NO_BLOCK.search(text) else style)


_Dumper.add_representer(str, _text)


def _dump(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
    # A block at the end may come without one.
    return text if text.endswith("\n") else f"{text}\n"


def _indented(text: str) -> str:
    return "".join(f"  {line}" if line.strip() else line for line in text.splitlines(keepends=True))
