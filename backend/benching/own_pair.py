"""A pair of the bench's own: a small model with random weights, free ports, a folder that is gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from backend.benching.target import Progress, Target, running_target
from backend.launcher import down, up
from backend.plan import LaunchOptions, LaunchPlan, make_plan
from backend.ports import find_free
from backend.profiling.run import profile_backend
from backend.tiny_model import make_model_folder

WINDOW_TOKENS = 16384


@dataclass(frozen=True)
class ModelShape:
    """Of a decoder with heads of 64, the smallest that vLLM's attention on a CPU takes."""

    name: str
    layers: int
    heads: int
    kv_heads: int


REFERENCE = ModelShape("bench-41m", layers=18, heads=8, kv_heads=2)
"""41 million parameters, 9,216 bytes of KV a token."""
LARGE_KV = ModelShape("bench-large-kv", layers=12, heads=8, kv_heads=8)
"""32 million parameters, every head with keys and values of its own: 24,576 bytes of KV a token."""


@contextmanager
def bench_folder(home: Path) -> Iterator[Path]:
    """A new folder in `home`, which is on the medium where its KV would lie. Deleted at the end."""
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=home)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_bench_model(folder: Path, shape: ModelShape, on_progress: Progress) -> Path:
    """The folder of the model, below `folder`."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of transformers, for every model
    on_progress(f"making the model {shape.name}")
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parents[1].glob("*.py"))]
    return make_model_folder(
        folder / shape.name,
        texts,
        layers=shape.layers,
        hidden=64 * shape.heads,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        window_tokens=WINDOW_TOKENS,
    )


@contextmanager
def own_pair(options: LaunchOptions, home: Path, on_progress: Progress) -> Iterator[Target]:
    """Start a pair for `options` in `home`, on free ports; stop it at the end. Its engine may be restarted."""
    engine_port, cache_port, cache_http_port = find_free(3)
    options = replace(
        options,
        engine_port=engine_port,
        cache_port=cache_port,
        cache_http_port=cache_http_port,
        allow_reset=True,
        restart=False,
    )
    plan = make_plan(options, home)
    state_dir = home / "backend"
    try:
        up(plan, state_dir, on_progress)
        target = running_target(state_dir, restarting(plan, state_dir, on_progress))
        try:
            yield target
        finally:
            target.pair.close()
    finally:
        down(state_dir, on_progress)


def profile_own(target: Target, home: Path, lengths: tuple[int, ...], on_progress: Progress) -> None:
    """Measure the pair's profile, which its gates use from then on."""
    profile_backend(
        home / "backend", lengths=lengths, repeats=1, on_progress=lambda text: on_progress(f"profile: {text}")
    )
    target.profiled = True


def restarting(plan: LaunchPlan, state_dir: Path, on_progress: Progress) -> Callable[[], None]:
    """Stops the engine of a pair and starts it again with the same plan, while LMCache lives."""

    def restart() -> None:
        down(state_dir, on_progress, only="engine")
        up(plan, state_dir, on_progress, only="engine")

    return restart
