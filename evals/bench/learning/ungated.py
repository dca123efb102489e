"""A replay that replays nothing, so that learning costs no engine call but those of proofs."""

from __future__ import annotations

from evals.trial import same_result, try_at
from gateway.core import Assistant, Core
from gateway.replay import Judged, ReplayReport
from gateway.traces import Trace


class Ungated:
    """A `gateway.replay.Replay`. Every proposal is clean to it; answers are compared and tried as in production."""

    def __call__(self, core: Core, assistant: Assistant, base: str, head: str) -> ReplayReport:  # noqa: ARG002
        return ReplayReport(base, head, "clean", (), 0)

    def same_result(self, assistant: Assistant, answer: str, accepted: str) -> Judged:
        return same_result(assistant, answer, accepted)

    def try_at(self, core: Core, assistant: Assistant, trace: Trace, accepted: str, commit: str) -> Judged:
        return try_at(core, assistant, trace, accepted, commit)
