"""What a person who decides between two answers is shown: both statements, and what each of them gives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gateway.datasource import Datasource
from gateway.verification import Verification, verify
from kb.items import Item, Success

SHOWN_ROWS = 5


def contradictions(
    conflicts: Iterable[Item],
    proposed: str,
    datasource: Datasource | None,
    tables: Mapping[str, Collection[str]],
) -> list[dict[str, Any]]:
    """One for each confirmed answer that another answer of the same question contradicts, ready for JSON."""
    found = [item for item in conflicts if isinstance(item.body, Success)]
    if not found:
        return []
    new = {"answer": proposed, "result": _result(proposed, datasource, tables)}
    return [
        {
            "item": item.id,
            "question": item.body.question,
            "confirmed": {"answer": item.body.answer, "result": _result(item.body.answer, datasource, tables)},
            "proposed": new,
        }
        for item in found
        if isinstance(item.body, Success)
    ]


def _result(answer: str, datasource: Datasource | None, tables: Mapping[str, Collection[str]]) -> dict[str, Any] | None:
    """The first rows, or why there are none; `None` where there is no database to run it on."""
    return _shown(verify(datasource, answer, tables)) if datasource is not None else None


def _shown(verification: Verification) -> dict[str, Any]:
    return {
        "status": verification.status,
        "message": verification.message,
        "columns": list(verification.columns),
        "rows": [list(row) for row in verification.rows[:SHOWN_ROWS]],
        "row_count": verification.row_count,
        "truncated": verification.truncated,
    }
