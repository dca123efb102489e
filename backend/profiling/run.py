"""`kvasir backend profile`: measure the pair that runs from a home, and keep the result there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.engine_python import engine_python_path, inspect_engine_python
from backend.errors import MeasurementFailed, ProfileInvalid
from backend.launch_state import read_state
from backend.profiling.compare import Change, compare
from backend.profiling.measure import LEAST_LENGTHS, measure, profile_lengths
from backend.profiling.pair import MeasuredPair, PairAddress
from backend.tiers.profile import Profile, profile_json, read_profile

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ProfileRun:
    """`former` is the profile that was replaced and now lies in `profile.previous.json`, where there was one."""

    profile: Profile
    path: Path
    former: Profile | None
    changes: tuple[Change, ...]


def profile_backend(
    state_dir: Path,
    *,
    lengths: Sequence[int] | None = None,
    repeats: int = 3,
    on_progress: Progress = lambda _: None,
) -> ProfileRun:
    """Measure, write `profile.json`, and have the running cache use it.

    Takes minutes, and wants a pair that nobody else uses meanwhile.
    Raises `MeasurementFailed` and `EnginePythonInvalid`.
    """
    state_dir = state_dir.expanduser().resolve()
    options = read_state(state_dir).options
    served_name = read_state(state_dir).served_name
    if options is None or served_name is None:
        raise MeasurementFailed("start", f"nothing was started in '{state_dir}'; start it with 'kvasir backend up'")
    python = inspect_engine_python(engine_python_path())
    address = PairAddress(
        f"http://127.0.0.1:{options.engine_port}", f"http://127.0.0.1:{options.cache_http_port}", served_name
    )
    pair = MeasuredPair(address)
    try:
        profile = measure(
            pair,
            _chosen_lengths(lengths, pair.window_tokens(), options.chunk_tokens),
            repeats,
            vocabulary_tokens(options.model),
            {"vllm": python.vllm, "lmcache": python.lmcache},
            on_progress,
        )
        path = state_dir / "profile.json"
        former = _replace(path, profile)
        pair.reload_profile()
    finally:
        pair.close()
    return ProfileRun(profile, path, former, compare(former, profile) if former else ())


def _chosen_lengths(given: Sequence[int] | None, window_tokens: int, chunk_tokens: int) -> Sequence[int]:
    """Checked before anything is measured: the longest would come last. Raises `MeasurementFailed`."""
    fitting = profile_lengths(window_tokens, chunk_tokens)
    if given is None:
        if len(fitting) < LEAST_LENGTHS:
            raise MeasurementFailed(
                "--window-tokens",
                f"{window_tokens} tokens hold fewer than {LEAST_LENGTHS} lengths of whole chunks of {chunk_tokens}; "
                "start the pair with a larger window",
            )
        return fitting
    if (longest := max(given)) > fitting[-1]:
        raise MeasurementFailed(
            "--lengths",
            f"{longest}: the pair's window takes up to {fitting[-1]}; give less, or start it with a larger "
            "--window-tokens",
        )
    return given


def _replace(path: Path, profile: Profile) -> Profile | None:
    """Write the profile as a whole, after moving the former one aside."""
    former: Profile | None = None
    if path.exists():
        try:
            former = read_profile(path)
        except ProfileInvalid:
            former = None
        path.replace(path.with_name("profile.previous.json"))
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(profile_json(profile), indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    return former


def vocabulary_tokens(model: Path) -> int:
    """The size of the model's vocabulary, by its config."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return int(config.get("text_config", config)["vocab_size"])
