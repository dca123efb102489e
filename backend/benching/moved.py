"""Documents that come in another order: with the blend engine, beside a pair that reuses prefixes alone, and cold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from backend.benching.own_pair import own_pair
from backend.benching.rounds import rounds
from backend.benching.target import Progress, Target
from backend.errors import MeasurementFailed
from backend.plan import LaunchOptions


@dataclass(frozen=True)
class Reordered:
    """Seconds to the first token of `tokens` tokens of which the first chunk is the same, and the documents behind it
    were computed in another order; and of a new prompt, by the pair without the blend engine.
    """

    tokens: int
    moved: float
    prefix_only: float
    cold: float


def measure_moved(
    options: LaunchOptions, folder: Path, lengths: Sequence[int], repeats: int, on_progress: Progress
) -> list[Reordered]:
    """Starts two pairs in `folder`, which are asked by turns."""
    with ExitStack() as stack:
        kinds = {"blend": replace(options, engine_type="blend"), "prefix": options}
        blend, prefix = (
            stack.enter_context(own_pair(kind, folder / name, on_progress)) for name, kind in kinds.items()
        )
        for target in (blend, prefix):
            target.check_lengths(tuple(lengths))
            stack.enter_context(target.gates(load=False, store=False))
        return rounds("blend", lengths, repeats, on_progress, lambda length, _: reorder(blend, prefix, length))


def reorder(blend: Target, prefix: Target, tokens: int) -> Reordered:
    """A document is a chunk. Raises `MeasurementFailed` where an engine's count says that other tokens were reused."""
    chunk = blend.chunk_tokens
    beyond = blend.prompts.beyond(0)
    head, *documents = (blend.prompts.new(chunk) for _ in range(tokens // chunk))
    if len(documents) < 2:
        raise MeasurementFailed("--lengths", f"{tokens}: give at least {3 * chunk} tokens, two documents and a chunk")
    first = [token for part in (head, *documents) for token in part] + beyond
    second = [token for part in (head, *reversed(documents)) for token in part] + beyond
    for target in (blend, prefix):
        _ask(target, first, 0)
        target.pair.empty_engine()  # returns once LMCache has what the engine computed
    return Reordered(
        tokens,
        moved=_ask(blend, second, tokens),
        prefix_only=_ask(prefix, second, chunk),
        cold=_ask(prefix, prefix.prompts.beyond(tokens), 0),
    )


def _ask(target: Target, prompt: Sequence[int], reused_tokens: int) -> float:
    first = target.pair.first_token(prompt)
    if first.cached_tokens != reused_tokens:
        raise MeasurementFailed(
            "blend",
            f"the engine reused {first.cached_tokens} tokens instead of {reused_tokens}; "
            "see that LMCache's memory holds the longest prompt",
        )
    return first.seconds
