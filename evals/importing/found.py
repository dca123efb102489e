"""What a reader finds in a file: cases, and what has no counterpart in a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evals.case import Case, Expectation
from kb.importers.errors import SourceInvalid
from kb.importers.place import Place
from kb.words import spoken

_ID_LENGTH = 60


@dataclass(frozen=True, slots=True)
class LeftOut:
    """`name` is the test's, `what` a field of it, empty for the whole test."""

    place: Place
    name: str
    what: str
    reason: str

    def to_dict(self) -> dict[str, object]:
        place = {"file": self.place.file, "line": self.place.line, "field": self.place.field}
        return {**place, "name": self.name, "what": self.what, "reason": self.reason}

    def __str__(self) -> str:
        return f"{self.place}: {self.name}{', ' if self.what else ''}{self.what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Imported:
    """Cases of unique ids, in the file's order."""

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(slots=True)
class Found:
    """Cases as they are found. `file` is what was given to the reader, for its errors."""

    file: str
    _cases: dict[str, Case] = field(default_factory=dict)
    _left_out: list[LeftOut] = field(default_factory=list)
    _asked: dict[tuple[str, tuple[Expectation, ...]], str] = field(default_factory=dict)

    def case(
        self, place: Place, name: str, question: str, expect: Sequence[Expectation], tags: Sequence[str] = ()
    ) -> None:
        """Take a case in. Its id is `name`, else the question's words; an id that is taken gets a number."""
        case_id = self._free(name or _words(question) or "case")
        twin = self._asked.setdefault((question, tuple(expect)), case_id)
        if twin != case_id:
            self.leave_out(place, case_id, f"it asks and expects the same as {twin}")
            return
        self._cases[case_id] = Case(case_id, question, tuple(expect), tags=tuple(dict.fromkeys(tags)))

    def leave_out(self, place: Place, name: str, reason: str, *, what: str = "") -> None:
        self._left_out.append(LeftOut(place, name, what, reason))

    def done(self, expected: str) -> Imported:
        """Raises `SourceInvalid` where there is no case: a suite needs one."""
        if not self._cases:
            told = f"; the first that was left out: {self._left_out[0]}" if self._left_out else ""
            raise SourceInvalid(self.file, f"holds no test that a suite can say; expected {expected}{told}")
        return Imported(tuple(self._cases.values()), tuple(self._left_out))

    def _free(self, wanted: str) -> str:
        number, free = 2, wanted
        while free in self._cases:
            free = f"{wanted}-{number}"
            number += 1
        return free


def _words(question: str) -> str:
    plain = "-".join(spoken(question).encode("ascii", "ignore").decode().split())
    return plain[:_ID_LENGTH].strip("-")
