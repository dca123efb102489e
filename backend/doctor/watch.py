"""Two samples, some time apart."""

from __future__ import annotations

import time
from collections.abc import Callable

from backend.doctor.metrics import Metrics
from backend.doctor.reader import Reader
from backend.doctor.readings import Readings, Sample

Progress = Callable[[str], None]

_PROGRESS_EVERY_SECONDS = 10.0


def watch(reader: Reader, seconds: float, on_progress: Progress = lambda _: None) -> Readings:
    """Readings over the next `seconds`, or with 0 over all since the engine's start. Blocks for as long."""
    if seconds == 0:
        after = reader.sample()
        return reader.readings(since_start(after), after)
    before = reader.sample()
    end = before.at + seconds
    while (left := end - time.monotonic()) > 0:
        on_progress(f"watching, {left:.0f} s left")
        time.sleep(min(left, _PROGRESS_EVERY_SECONDS))
    return reader.readings(before, reader.sample())


def since_start(after: Sample) -> Sample:
    """The sample that a part gave when it began: counters at 0, and the disk as it is now."""
    began = after.engine.total("process_start_time_seconds") if after.engine else 0.0
    ran = max(1.0, time.time() - began) if began else 1.0
    return Sample(
        at=after.at - ran,
        engine=Metrics() if after.engine else None,
        cache=Metrics() if after.cache else None,
        gateway=Metrics() if after.gateway else None,
        tiers={} if after.tiers else None,
        silent={} if after.silent else None,
        disk=after.disk,
    )
