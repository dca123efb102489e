"""SQL in Markdown: a ```sql fence that holds any text exactly.

The fence is longer than every run of backticks it stands beside, so what was written is what is read. Source:
CommonMark 0.31, "Fenced code blocks".
"""

from __future__ import annotations

import re

_FENCE = re.compile(r" {0,3}(`{3,})([^`]*)\Z")
_RUN = re.compile("`+")
_CLOSING = re.compile("`{3,}")


def fenced(text: str, beside: str = "") -> str:
    """`text` in a fence that neither it nor the prose `beside` it can be taken for. No final newline."""
    longest = max((len(run) for run in _RUN.findall(f"{text}\n{beside}")), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}sql\n{text}\n{ticks}"


def split_fence(markdown: str) -> tuple[str, str | None]:
    """The prose before the ```sql fence that ends `markdown`, and the fence's text; `None` where none ends it."""
    whole = markdown.rstrip()
    inside, _, closing = whole.rpartition("\n")
    if not inside or not _CLOSING.fullmatch(closing):
        return markdown, None
    inside += "\n"
    openings = list(re.finditer(rf"^{closing} ?sql[ \t]*\n", inside, re.MULTILINE | re.IGNORECASE))
    if not openings:
        return markdown, None
    prose, text = inside[: openings[-1].start()], inside[openings[-1].end() :]
    return prose.removesuffix("\n").removesuffix("\n"), text.removesuffix("\n")


def first_fence(markdown: str) -> int | None:
    """The line (from 0) on which the first fence opens."""
    return next((at for at, line in enumerate(markdown.split("\n")) if _FENCE.match(line)), None)


def unclosed_fence(markdown: str) -> int | None:
    """The line (from 0) of a fence that opens and never closes."""
    opened: tuple[int, str] | None = None
    for at, line in enumerate(markdown.split("\n")):
        match = _FENCE.match(line)
        if match and opened is None:
            opened = at, match[1]
        elif match and opened is not None and match[1].startswith(opened[1]) and not match[2].strip():
            opened = None
    return opened[0] if opened else None
