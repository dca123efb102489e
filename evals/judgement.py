"""What was found of one draw: that it passed, or why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reason` is a code of docs/evals.md, empty for what passed."""

    status: Status
    reason: str = ""
    detail: str = ""

    @property
    def message(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


PASSED = Judgement("passed")
