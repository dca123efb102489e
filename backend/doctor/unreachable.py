"""A part that was started and does not answer."""

from __future__ import annotations

from backend.doctor.finding import Figure, Finding
from backend.doctor.readings import Readings


def part_does_not_answer(readings: Readings) -> Finding | None:
    gone = [one for one in readings.unreachable if one.started]
    if not gone:
        return None
    only_engine = all(one.source == "engine" for one in gone)
    return Finding(
        "part-unreachable",
        "A part that was started does not answer.",
        (Figure("parts that do not answer", len(gone), limit=0, origin="both were started"),),
        "It ended, hangs, or is busy for longer than the doctor waits. Its log says more; 'kvasir backend status' "
        "names it.",
        (readings.restart(only_engine=only_engine),),
        tuple(f"{one.source} at {one.url}: {one.problem}" for one in gone),
    )
