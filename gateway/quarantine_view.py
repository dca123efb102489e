"""What a change took out of use and brought back, as it is shown over HTTP, by `--json` and to people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from kb.items import Item
from kb.knowledge_base import KnowledgeBase
from kb.objects import Commit
from kb.quarantine import QuarantineReport, quarantine_report


def report_of(base: KnowledgeBase, commit: Commit) -> QuarantineReport:
    """Of one commit, whose evidence tells whether there is something to look for."""
    if commit.parent is None or not {"quarantined", "lifted"} & commit.evidence.keys():
        return QuarantineReport((), ())
    return quarantine_report(base.diff(commit.parent, commit.id))


def report_view(report: QuarantineReport) -> dict[str, Any]:
    return {
        "quarantined": [quarantined_view(item) for item in report.quarantined],
        "lifted": [item.id for item in report.lifted],
    }


def quarantined_view(item: Item) -> dict[str, Any]:
    """`now` of a column that was renamed is a guess."""
    return {"id": item.id, "title": item.title, "lost": [asdict(each) for each in item.lost]}


def report_lines(report: QuarantineReport) -> Iterator[str]:
    for item in report.quarantined:
        yield f"quarantined  {quarantined_line(item)}"
    for item in report.lifted:
        yield f"lifted       {item.id}"


def quarantined_line(item: Item) -> str:
    return f"{item.id}  {'; '.join(str(each) for each in item.lost) or 'by a person'}"
