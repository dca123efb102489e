"""Reads a pair, its gateways, and what stands in its folder. Changes nothing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from backend.doctor.metrics import Metrics
from backend.doctor.pages import Pages
from backend.doctor.readings import DiskUse, Prompt, Readings, Sample, Source, Unreachable
from backend.errors import DoctorFailed, ModelFolderInvalid, ProfileInvalid
from backend.launch_state import LaunchState, read_state
from backend.model_folder import check_model_folder
from backend.plan import PartName
from backend.tiers.profile import Profile, read_profile

_PROMPTS = 20


class Reader:
    """Of one backend folder, and of gateways by their addresses. Raises `DoctorFailed` where nothing was started.

    `home` is named in commands; `None` for the default one.
    """

    def __init__(
        self, state_dir: Path, gateways: Sequence[str] = (), *, home: Path | None = None, api_key: str | None = None
    ) -> None:
        self._state_dir = state_dir.expanduser().resolve()
        self._home = home
        self._state = read_state(self._state_dir)
        if self._state.options is None:
            raise DoctorFailed(
                f"nothing was started in '{self._state_dir}'; start it with 'kvasir backend up', or name another "
                "folder with --home"
            )
        self._options = self._state.options
        self._gateways = [url.rstrip("/") for url in gateways]
        self._pages = Pages(api_key=api_key)

    def close(self) -> None:
        self._pages.close()

    def sample(self) -> Sample:
        """All that is to be read now."""
        pages, cache = self._pages, f"http://127.0.0.1:{self._options.cache_http_port}"
        pages.problems.clear()
        engine_metrics = pages.metrics("engine", f"http://127.0.0.1:{self._options.engine_port}/metrics")
        cache_metrics = pages.metrics("cache", f"{cache}/metrics")
        told = self._policies(cache) if self._options.policy and cache_metrics is not None else {}
        return Sample(
            at=time.monotonic(),
            engine=engine_metrics,
            cache=cache_metrics,
            gateway=self._gateway_metrics(),
            tiers=told.get("status"),
            silent=told.get("silent-sessions"),
            transfers=tuple(told.get("transfers") or ()),
            disk=self._disk(),
        )

    def readings(self, before: Sample, after: Sample) -> Readings:
        """Both samples with what else is known."""
        profile, problem = self._profile()
        prompts = tuple(prompt for url in self._gateways for prompt in self._prompts(url))
        return Readings(
            before,
            after,
            self._options,
            home=self._home,
            state_dir=self._state_dir,
            on_cpu=_on_cpu(self._state),
            model_window_tokens=self._model_window(),
            profile=profile,
            profile_problem=problem,
            prompts=prompts,
            unreachable=tuple(
                Unreachable(source, url, text, started=self._was_started(source))
                for (source, url), text in self._pages.problems.items()
            ),
        )

    def _policies(self, cache: str) -> dict[str, Any]:
        names = ("status", "silent-sessions", "transfers")
        return {name: self._pages.json("tiers", f"{cache}/kvasir/{name}") for name in names}

    def _gateway_metrics(self) -> Metrics | None:
        """Of all that answer, together; `None` where none was named or none answers."""
        read = [self._pages.metrics("gateway", f"{url}/metrics") for url in self._gateways]
        pages = [page for page in read if page is not None]
        return Metrics(tuple(series for page in pages for series in page.series)) if pages else None

    def _prompts(self, gateway: str) -> Iterator[Prompt]:
        """The prompts of its last requests, newest first."""
        listed = self._pages.json("gateway", f"{gateway}/v1/requests?limit={_PROMPTS}") or {}
        for summary in listed.get("data", []):
            trace = self._pages.json("gateway", f"{gateway}/v1/requests/{summary['id']}")
            if trace is None:
                continue
            text = "".join(f"<{message['role']}>{message['content']}" for message in trace["prompt"])
            yield Prompt(trace["id"], trace["assistant"], gateway, text)

    def _profile(self) -> tuple[Profile | None, str | None]:
        """As the running cache takes it: not one of another model or chunk."""
        path = self._state_dir / "profile.json"
        if not path.exists():
            return None, None
        try:
            profile = read_profile(path)
        except ProfileInvalid as exc:
            return None, str(exc)
        if (profile.model, profile.chunk_tokens) != (str(self._options.model), self._options.chunk_tokens):
            return None, f"{path} is of {profile.model} with chunks of {profile.chunk_tokens} tokens"
        return profile, None

    def _disk(self) -> DiskUse | None:
        """`None` for an adapter of the user's own, whose folder only it knows."""
        folder = self._options.kv_dir or self._state_dir / "kv"
        if self._options.disk_adapter is not None or not folder.is_dir():
            return None
        return DiskUse(folder, _bytes_in(folder), shutil.disk_usage(folder).free)

    def _model_window(self) -> int | None:
        try:
            return check_model_folder(self._options.model).window_tokens
        except ModelFolderInvalid:
            return None

    def _was_started(self, source: Source) -> bool:
        part: PartName = "engine" if source == "engine" else "cache"
        return source != "gateway" and self._state.part(part) is not None


def _bytes_in(folder: Path) -> int:
    total = 0
    for entry in os.scandir(folder):
        try:
            total += entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
        except FileNotFoundError:  # it was deleted meanwhile
            continue
    return total


def _on_cpu(state: LaunchState) -> bool:
    """As it was chosen, or by the segment that LMCache's RAM is in where there is no GPU."""
    if state.options and state.options.device:
        return state.options.device == "cpu"
    return any(segment.name.startswith("lmcache_l1_pool") for part in state.parts for segment in part.segments)
