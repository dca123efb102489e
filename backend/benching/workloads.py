"""Four kinds of traffic, each request beside one of the same length of which nothing is cached.

What matters for a cache is which prefixes return and what was lost meanwhile, so a workload is that: prompts of random
tokens that share prefixes, and, before some, the loss of the engine's cache (others used it) or of RAM as well
(the next morning). Lengths are in chunks, scaled down to the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from backend.benching.asking import RAM, Asker, asking
from backend.benching.target import SESSION, Progress, Target
from backend.profiling.prompts import Prompts
from backend.tiers.use_case import UseCase

Loss = Literal["nothing", "engine", "ram"]


@dataclass(frozen=True)
class Step:
    """One request. `first` is one whose prefix nobody asked before."""

    prompt: list[int]
    session: str
    loss: Loss
    first: bool


@dataclass(frozen=True)
class Workload:
    """`steps` makes the requests in order, from prompts and the tokens that the longest prompt may have."""

    name: str
    use_case: UseCase
    steps: Callable[[Prompts, int], Iterator[Step]]


@dataclass(frozen=True)
class Request:
    """One request as it was served: seconds to the first token, and of a prompt of that length uncached."""

    seconds: float
    cold_seconds: float
    tokens: int
    cached_tokens: int
    first: bool


@dataclass(frozen=True)
class BatchRun:
    """Seconds until all of a batch were answered: of `prompts` that share a prefix, and of as many that do not."""

    seconds: float
    cold_seconds: float
    prompts: int
    tokens: int
    cached_tokens: int


def conversations(prompts: Prompts, longest: int) -> Iterator[Step]:
    """Three conversations of four turns, in turns; others use the engine between."""
    turn_tokens = longest // 6
    texts = [prompts.new(2 * turn_tokens) for _ in range(3)]
    for turn in range(4):
        for number, text in enumerate(texts):
            text += prompts.new(turn_tokens)
            yield Step(list(text), f"conversation-{number}", "nothing" if turn == 0 else "engine", turn == 0)


def documents(prompts: Prompts, longest: int) -> Iterator[Step]:
    """Two documents, three questions about each from different people; others use the engine between."""
    texts = [prompts.new(longest * 3 // 4) for _ in range(2)]
    for question in range(3):
        for number, text in enumerate(texts):
            asked = text + prompts.new(64)
            yield Step(asked, f"reader-{number}-{question}", "nothing" if question == 0 else "engine", question == 0)


def code(prompts: Prompts, longest: int) -> Iterator[Step]:
    """One repository's files, whose last is edited between requests; halfway the next morning, with RAM empty."""
    files = prompts.new(longest * 3 // 4)
    for edit in range(6):
        loss: Loss = "nothing" if edit == 0 else "ram" if edit == 3 else "engine"
        yield Step(files + prompts.new(longest // 8), "editor", loss, edit == 0)


WORKLOADS = (
    Workload("multi-turn", "chat", conversations),
    Workload("shared documents", "document", documents),
    Workload("code session", "code", code),
)


def measure_workload(target: Target, workload: Workload, longest: int, on_progress: Progress) -> list[Request]:
    """The gates are as they ship. Where the engine's cache cannot be emptied, everything is served from it."""
    found: list[Request] = []
    with asking(target) as asker, target.gates(load=True, store=True):
        for number, step in enumerate(workload.steps(target.prompts, longest), start=1):
            on_progress(f"{workload.name}: request {number}, {len(step.prompt)} tokens")
            twin = target.prompts.new(len(step.prompt))
            asker.note(twin)
            cold = asker.ask(twin)
            _lose(asker, step.loss)
            asker.note(step.prompt, workload.use_case, f"{SESSION}-{step.session}")
            answer = asker.ask(step.prompt)
            found.append(Request(answer.seconds, cold.seconds, len(step.prompt), answer.cached_tokens, step.first))
            asker.forget_session()
    return found


def measure_batch(target: Target, longest: int, repeats: int, on_progress: Progress) -> list[BatchRun]:
    """Four prompts at once that begin with the same instructions, of which the engine saw some before."""
    instructions = target.prompts.new(longest * 3 // 8)
    found: list[BatchRun] = []
    with asking(target) as asker, target.gates(load=True, store=True):
        asker.note(instructions, "batch")
        asker.ask(instructions)
        for repeat in range(repeats):
            on_progress(f"batch: repeat {repeat + 1} of {repeats}")
            batch = [instructions + target.prompts.new(longest // 8) for _ in range(_BATCH)]
            cold = [target.prompts.new(len(prompt)) for prompt in batch]
            cold_seconds, _ = _all(target, cold)
            _lose(asker, "engine")
            for number, prompt in enumerate(batch):
                asker.note(prompt, "batch", f"{SESSION}-{number}")
            seconds, cached = _all(target, batch)
            for number in range(_BATCH):
                asker.forget_session(f"{SESSION}-{number}")
            found.append(BatchRun(seconds, cold_seconds, len(batch), sum(map(len, batch)), cached))
    return found


_BATCH = 4


def _lose(asker: Asker, loss: Loss) -> None:
    target = asker.target
    if loss == "nothing" or RAM in target.missing:
        return
    asker.empty_engine()
    if loss == "ram":
        for tier in target.tiers:
            asker.leave_only(tier)


def _all(target: Target, prompts: Sequence[list[int]]) -> tuple[float, int]:
    """Seconds until every prompt, asked at the same time, has its token; and how many of their tokens were cached."""
    begun = perf_counter()
    with ThreadPoolExecutor(len(prompts)) as pool:
        answers = list(pool.map(target.pair.first_token, prompts))
    return perf_counter() - begun, sum(answer.cached_tokens for answer in answers)
