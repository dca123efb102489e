"""The doctor reads a real gateway: the place in a prompt that changes, shown by its traces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from backend.doctor.diagnosis import diagnose
from backend.doctor.reader import Reader
from backend.launch_state import LaunchState, write_state
from backend.plan import LaunchOptions


def reader_of(url: str, home: Path) -> Reader:
    """Of the gateway alone: nothing listens on the pair's ports."""
    home.mkdir()
    options = LaunchOptions(model=home, engine_port=1, cache_port=2, cache_http_port=3)
    write_state(home, LaunchState(options=options, served_name="x"))
    return Reader(home, (url,))


def test_a_gateways_traces_show_the_text_that_changes(
    served: Any, tmp_path: Path, recorded_readings: ModuleType
) -> None:
    rules = "Answer in one query. " * 80
    for day in ("Monday", "Tuesday"):
        served.engine.enqueue("SELECT 1")
        opening = {"role": "system", "content": f"Today is {day}. {rules}"}
        served.ask([opening, {"role": "user", "content": "How many reviews praise the sturdy garden chairs?"}])
    reader = reader_of(served.url, tmp_path / "pair")
    sample = reader.sample()
    readings = reader.readings(sample, sample)
    assert sample.gateway.total("kvasir_requests_total") == 2
    assert len(readings.prompts) == 2
    assert {one.source for one in readings.unreachable} == {"engine", "cache"}

    seen = replace(recorded_readings.load("volatile-prefix"), prompts=readings.prompts)
    [finding] = diagnose(seen).findings
    assert "'Mon', now 'Tues'" in finding.examples[0]
    assert readings.prompts[0].request_id in finding.commands[0]
