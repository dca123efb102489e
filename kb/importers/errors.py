"""What can go wrong with a file of another tool.

KnowledgeError
└── SourceInvalid     the file cannot be imported; names file, line, field and what is expected
"""

from __future__ import annotations

from kb.errors import KnowledgeError


class SourceInvalid(KnowledgeError):
    """`field` is a column's name or a path such as `$.tables[0].name`."""

    def __init__(self, file: str, problem: str, *, line: int | None = None, field: str | None = None) -> None:
        self.file, self.line, self.field, self.problem = file, line, field, problem
        place = file + (f":{line}" if line else "") + (f", field '{field}'" if field else "")
        super().__init__(f"{place}: {problem}")
