"""What was read of a pair: two samples of its counters, and what stands in its folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from backend.doctor.metrics import Metrics
from backend.plan import LaunchOptions
from backend.tiers.profile import Profile

Source = Literal["engine", "cache", "tiers", "gateway"]
"""vLLM's counters, LMCache's, what Kvasir's policies in LMCache tell, and the gateways' counters."""
Page = Literal["engine", "cache", "gateway"]
"""Those that have a `/metrics` page."""


@dataclass(frozen=True)
class DiskUse:
    """The disk tier's folder, and what is free on its file system."""

    folder: Path
    used_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Sample:
    """One moment. A source that did not answer is `None`. `at` is in seconds of any clock.

    `tiers` is `GET /kvasir/status`, `silent` `GET /kvasir/silent-sessions`, `transfers` the last of
    `GET /kvasir/transfers`.
    """

    at: float
    engine: Metrics | None = None
    cache: Metrics | None = None
    gateway: Metrics | None = None
    tiers: Mapping[str, Any] | None = None
    silent: Mapping[str, Any] | None = None
    transfers: tuple[Mapping[str, Any], ...] = ()
    disk: DiskUse | None = None


@dataclass(frozen=True)
class Unreachable:
    """A source that was asked and gave nothing. `started` says that it should have: it is in `state.json`."""

    source: Source
    url: str
    problem: str
    started: bool = False


@dataclass(frozen=True)
class Prompt:
    """A prompt of the gateway's traces."""

    request_id: str
    assistant: str
    gateway: str
    text: str


@dataclass(frozen=True)
class Readings:
    """`options` are those of the last start. `home` is `None` where it is the default, which commands need not name.

    `model_window_tokens` is the longest that the model takes, or `None` where its config does not say.
    """

    before: Sample
    after: Sample
    options: LaunchOptions
    home: Path | None = None
    state_dir: Path = Path(".kvasir/backend")
    on_cpu: bool = True
    model_window_tokens: int | None = None
    profile: Profile | None = None
    profile_problem: str | None = None
    prompts: tuple[Prompt, ...] = ()
    unreachable: tuple[Unreachable, ...] = field(default=())

    @property
    def seconds(self) -> float:
        return self.after.at - self.before.at

    @property
    def chunk_tokens(self) -> int:
        return self.options.chunk_tokens

    @property
    def engine_url(self) -> str:
        return f"http://127.0.0.1:{self.options.engine_port}"

    @property
    def cache_url(self) -> str:
        return f"http://127.0.0.1:{self.options.cache_http_port}"

    def has(self, source: Source) -> bool:
        """Whether both samples have it."""
        return getattr(self.before, source) is not None and getattr(self.after, source) is not None

    def grew(self, source: Page, name: str, /, **labels: str) -> float:
        """The increase of a counter. One that fell belongs to a part that was started again, and counts from 0."""
        before: Metrics = getattr(self.before, source) or Metrics()
        after: Metrics = getattr(self.after, source) or Metrics()
        return _increase(before.total(name, **labels), after.total(name, **labels))

    def grew_by(self, source: Page, label: str, name: str) -> dict[str, float]:
        """The increase for each value of `label` for which there was one."""
        before: Metrics = getattr(self.before, source) or Metrics()
        after: Metrics = getattr(self.after, source) or Metrics()
        old = before.by(label, name)
        grown = {value: _increase(old.get(value, 0.0), now) for value, now in after.by(label, name).items()}
        return {value: increase for value, increase in grown.items() if increase > 0}

    def grew_in_tiers(self, *path: str) -> float:
        """The increase of a number in `tiers`, named by its way in."""
        return _increase(_at(self.before.tiers, path), _at(self.after.tiers, path))

    def command(self, *words: str) -> str:
        """`kvasir backend …` for this home, as a shell takes it."""
        home = ("--home", str(self.home)) if self.home else ()
        return shlex.join(["kvasir", "backend", *words, *home])

    def restart(self, *options: str, only_engine: bool = False) -> str:
        """The command that starts again, with everything as it was but `options`."""
        only = ("--only", "engine") if only_engine else ()
        return f"{self.command('down', *only)} && {self.command('up', *only, *options)}"


def _increase(before: float, after: float) -> float:
    return after - before if after >= before else after


def _at(numbers: Mapping[str, Any] | None, path: tuple[str, ...]) -> float:
    found: Any = numbers
    for step in path:
        found = found.get(step) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else 0.0
