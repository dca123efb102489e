"""What the streams of a set come to: accuracy of each mode, what learning gained, and what became of its lessons.

Streams of one set ask the same questions in other orders, so the answers to one question are not independent: every
interval draws whole questions again, with all their answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from pydantic import TypeAdapter

from evals.bench.bootstrap import clustered_interval
from evals.bench.learning.jobs import Jobs, Say, slices
from evals.bench.learning.stream import MODES, Mode, Stream, Streamed, streamed
from evals.bench.learning.stream_set import SetName, stream_set
from evals.bench.row import Asked, Row

PARTS = ("first", "second", "third", "fourth", "last")

Rights = Mapping[str, Sequence[float]]
"""Question → 1 where it was right and else 0, by order of the stream."""


def stream_rows(jobs: Jobs, *, sets: Sequence[SetName], orders: int, like: Stream) -> list[Row]:
    """`like` is a stream whose settings all others have. Raises `BenchUnavailable` before anything is asked."""
    for name in sets:
        _told(name, like.data, like.limit, jobs.say)
    form = TypeAdapter(Streamed)
    # Of a base that learns nothing, a greedy engine's answers are the same in every order: one asks for all.
    begun = [replace(like, set=name, order=0, mode="off", examples=0) for name in sets]
    begun += [replace(like, set=name, order=order, mode="on", examples=0) for name in sets for order in range(orders)]
    done = jobs.done([partial(streamed, stream) for stream in begun], form)
    done += [off.in_order(order) for off in done if off.stream.mode == "off" for order in range(1, orders)]
    static = [
        replace(run.stream, mode="static", examples=run.lessons("landed")) for run in done if run.stream.mode == "on"
    ]
    done += jobs.done([partial(streamed, stream) for stream in static], form)
    return [row for name in sets for row in rows_of_set([run for run in done if run.stream.set == name])]


def _told(name: SetName, data: Path, limit: int | None, say: Say) -> None:
    with TemporaryDirectory(prefix="kvasir-bench-") as folder:
        found = stream_set(name, data, Path(folder), limit)
    say(f"{name}: {len(found.asked)} questions a stream, {len(found.pool)} more for static examples")


def rows_of_set(runs: Sequence[Streamed]) -> list[Row]:
    """Of one set in every mode, with the same orders in each."""
    by_mode: dict[Mode, list[Streamed]] = {
        mode: sorted((run for run in runs if run.stream.mode == mode), key=lambda run: run.stream.order)
        for mode in MODES
    }
    on, off, static = (by_mode[mode] for mode in MODES)
    stream = on[0].stream
    given = ", confirmed answers given" if stream.verified else ""
    name = f"{stream.set} stream, {'gated' if stream.gate else 'not gated'}{given}"
    rows = [
        _accuracy(f"{name}, learning on", _rights(on), {"off": _rights(off), "static": _rights(static)}),
        _accuracy(f"{name}, learning off", _rights(off)),
        _accuracy(f"{name}, static examples", _rights(static)),
        _gain(f"{name}, on − off", _rights(on), _rights(off), Asked(clear_of=0.0)),
        _gain(f"{name}, on − static", _rights(on), _rights(static)),
    ]
    if len(on[0].answers) >= len(PARTS):
        for part, word in enumerate(PARTS):
            beside = {"off": _rights(off, part), "static": _rights(static, part)}
            rows.append(_accuracy(f"{name}, on, {word} fifth", _rights(on, part), beside))
    unanswered = sum(not answer.answered for run in runs for answer in run.answers)
    answers = sum(len(run.answers) for run in runs)
    return [
        *rows,
        *_lessons(name, on),
        Row(f"{name}, without room for an answer", float(unanswered), "questions", answers),
    ]


def _rights(runs: Sequence[Streamed], part: int | None = None) -> Rights:
    """Of all questions, or of those that a part of each stream asked."""
    found: dict[str, list[float]] = {}
    for run in runs:
        share = slice(None)
        if part is not None:
            within = slices(len(run.answers), len(PARTS))[part]
            share = slice(within.start, within.stop)
        for answer in run.answers[share]:
            found.setdefault(answer.question, []).append(float(answer.right))
    return found


def _accuracy(name: str, rights: Rights, beside: Mapping[str, Rights] | None = None) -> Row:
    baseline = {mode: _mean(others) for mode, others in (beside or {}).items()}
    interval = clustered_interval(rights.values())
    return Row(name, _mean(rights), "execution match", _count(rights), interval, baseline)


def _gain(name: str, rights: Rights, others: Rights, asked: Asked | None = None) -> Row:
    """Answer by answer, of the same question in the same order."""
    changes = {
        question: [one - other for one, other in zip(values, others[question], strict=True)]
        for question, values in rights.items()
    }
    interval = clustered_interval(changes.values())
    return Row(name, _mean(changes), "execution match", _count(changes), interval, asked=asked)


def _lessons(name: str, runs: Sequence[Streamed]) -> list[Row]:
    """Per stream, over the orders; the static streams have as many examples as landed."""
    counts = {
        "lessons landed": [run.lessons("landed") for run in runs],
        "lessons that wait for a person": [run.lessons("waiting") for run in runs],
        "lessons that came to nothing": [run.lessons("duplicate", "failed", "queued") for run in runs],
        "confirmed answers in use at the end": [run.in_use for run in runs],
        "gotchas landed": [run.gotchas for run in runs],
        "engine calls of the gate": [sum(answer.gate_calls for answer in run.answers) for run in runs],
    }
    return [Row(f"{name}, {what}", float(mean(each)), "a stream", len(each)) for what, each in counts.items()]


def _mean(rights: Rights) -> float:
    return mean(value for values in rights.values() for value in values)


def _count(rights: Rights) -> int:
    return sum(map(len, rights.values()))
