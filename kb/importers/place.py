"""Where something stands in a file."""

from __future__ import annotations

from dataclasses import dataclass

from kb.importers.errors import SourceInvalid


@dataclass(frozen=True, slots=True)
class Place:
    """`line` counts from 1; `field` is a column or a path such as `$.tables[0].name`."""

    file: str
    line: int | None = None
    field: str | None = None

    def wrong(self, problem: str) -> SourceInvalid:
        return SourceInvalid(self.file, problem, line=self.line, field=self.field)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else f"{self.file}, {self.field}"
