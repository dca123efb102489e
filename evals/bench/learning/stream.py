"""One stream: a set's questions in a random order, each asked once of a Kvasir of its own that learns, or does not.

In `on`, a person judges each answer by the rows of the right statement. A right answer is confirmed. A wrong one is
rejected, some of the time with the right statement as its correction. What that teaches goes through capture before
the next question, as in production under automatic approval. In `off` nobody judges. In `static` the base has a
number of confirmed answers to other questions from the start, and nobody judges.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar, get_args

from backend.client import Engine
from backend.errors import BackendError, ContextTooLong
from evals.bench.errors import EngineFailed
from evals.bench.learning.engine import SHIPPED_ENGINE, EngineChoice
from evals.bench.learning.jobs import Say
from evals.bench.learning.stream_set import SetName, StreamSet, stream_set
from evals.bench.learning.ungated import Ungated
from evals.bench.learning.world import AUTHOR, TENANT, core_with_base
from evals.bench.mini.execution import is_ordered
from evals.bench.mini.knowledge import successes
from evals.bench.mini.question_set import Question
from evals.case import SqlResult
from evals.judgement import Judgement
from evals.replay import SuiteReplay
from evals.scoring import judge_sql, run_accepted
from gateway.answering import Ask, answer, prepare
from gateway.capture import Capture
from gateway.capture_worker import CaptureWorker
from gateway.confirming import confirm
from gateway.conversation import ask
from gateway.core import Assistant, Core
from gateway.errors import PromptTooLong
from gateway.proposals import Proposal, State
from gateway.replay import Replay
from kb.embedding import Embedder
from kb.items import Item
from kb.knowledge_base import Changes

Mode = Literal["on", "off", "static"]
MODES: tuple[Mode, ...] = get_args(Mode)
Entry = TypeVar("Entry")

ASSISTANT, PERSON = "stream", "ada"

_CONFIG = """\
home = "state"

[datasources.database]
url = {url}

[engines.main]
{engine}

[assistants.stream]
kb = "stream"
datasource = "database"
engine = "main"
approval = "automatic"
verified_answers = {verified}
template_answers = {verified}
instructions = {instructions}
"""


@dataclass(frozen=True, slots=True)
class Stream:
    """What is asked, in which order, of which Kvasir. Small enough to be sent to another process.

    `limit` takes the first questions of the set. A wrong answer is corrected with the chance `corrected`, decided by
    question and order alone. `gate`: a lesson is replayed on all confirmed answers before it lands. `examples` counts
    the confirmed answers that `static` begins with. `verified`: a confirmed answer that answers a question is given
    without the engine, also one about other values.
    """

    set: SetName
    order: int
    mode: Mode
    data: Path
    engine: EngineChoice = SHIPPED_ENGINE
    limit: int | None = None
    corrected: float = 0.5
    gate: bool = True
    examples: int = 0
    verified: bool = False

    @property
    def name(self) -> str:
        return f"{self.set}, order {self.order + 1}, {self.mode}"

    def in_order(self, questions: Sequence[Entry]) -> list[Entry]:
        return Random(f"order/{self.order}").sample(questions, len(questions))

    def corrects(self, question: Question) -> bool:
        return Random(f"corrected/{self.order}/{question.id}").random() < self.corrected


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """`answered` is false where the prompt left no room, so that no engine was asked. `lesson` is where the verdict's
    proposal ended, `None` where it taught nothing; `gate_calls` are the engine calls of its replay.
    """

    question: str
    right: bool
    answered: bool
    lesson: State | None = None
    gate_calls: int = 0


@dataclass(frozen=True, slots=True)
class Streamed:
    """`answers` are in the order of the stream. Counted are items of the base at its end that were not there at its
    beginning: confirmed answers in use, and gotchas, which land as proposed.
    """

    stream: Stream
    answers: tuple[StreamAnswer, ...]
    in_use: int = 0
    gotchas: int = 0

    def lessons(self, *states: State) -> int:
        return sum(entry.lesson in states for entry in self.answers)

    def in_order(self, order: int) -> Streamed:
        """As it would be in another order, if no answer depends on those before it."""
        of_the_set = dict(zip(self.stream.in_order(range(len(self.answers))), self.answers, strict=True))
        other = replace(self.stream, order=order)
        return replace(self, stream=other, answers=tuple(other.in_order([of_the_set[n] for n in sorted(of_the_set)])))


def streamed(stream: Stream, embedder: Embedder, say: Say) -> Streamed:
    """Raises `DataUnavailable`, `ShopUnavailable`; `EngineFailed` where a prompt that fits gets no answer."""
    with TemporaryDirectory(prefix="kvasir-bench-") as folder:
        questions = stream_set(stream.set, stream.data, Path(folder), stream.limit)
        with stream_core(stream, questions, Path(folder), embedder) as core:
            return asked_in_order(stream, questions, core, say)


@contextmanager
def stream_core(
    stream: Stream,
    questions: StreamSet,
    folder: Path,
    embedder: Embedder,
    engines: Mapping[str, Engine] | None = None,
) -> Iterator[Core]:
    """With the base that the stream begins with. `engines` replaces the stream's, for tests."""
    config = _CONFIG.format(
        url=json.dumps(f"sqlite:///{questions.database}"),
        engine=stream.engine.toml(),
        instructions=json.dumps(questions.instructions),
        verified=json.dumps(stream.verified),
    )
    with core_with_base(folder, config, ASSISTANT, embedder, engines=engines) as core:
        items = [*questions.items, *_examples(stream, questions)]
        core.assistant(TENANT, ASSISTANT).base.commit(Changes(put=tuple(items)), author=AUTHOR, message="The base")
        yield core


def _examples(stream: Stream, questions: StreamSet) -> list[Item]:
    if stream.mode != "static":
        return []
    drawn = Random(f"examples/{stream.order}").sample(questions.pool, min(stream.examples, len(questions.pool)))
    return successes(((question.text, question.gold[0]) for question in drawn), questions.items)


def asked_in_order(stream: Stream, questions: StreamSet, core: Core, say: Say) -> Streamed:
    assistant = core.assistant(TENANT, ASSISTANT)
    worker = CaptureWorker(core, Capture(core, _replay(stream)))
    before = assistant.base.snapshot().items
    answers: list[StreamAnswer] = []
    for question in stream.in_order(questions.asked):
        answers.append(_put(stream, core, worker, question))
        if len(answers) % 20 == 0 or len(answers) == len(questions.asked):
            right = sum(entry.right for entry in answers)
            say(f"{stream.name}: {len(answers)} of {len(questions.asked)} asked, {right} right")
    learned = [item for name, item in assistant.base.snapshot().items.items() if name not in before]
    in_use = sum(item.kind == "success" and item.status == "active" for item in learned)
    return Streamed(stream, tuple(answers), in_use, sum(item.kind == "gotcha" for item in learned))


def _replay(stream: Stream) -> Replay:
    return SuiteReplay(recent_requests=0) if stream.gate else Ungated()


def _put(stream: Stream, core: Core, worker: CaptureWorker, question: Question) -> StreamAnswer:
    """Ask, judge, and in `on` have the verdict captured."""
    put = Ask(TENANT, ASSISTANT, ask(question.text))
    text: str | None = None
    try:
        # Without an answer the user has a wrong one; the trace is there all the same and can be corrected.
        with suppress(PromptTooLong, ContextTooLong):
            text = asyncio.run(answer(core, prepare(core, put))).text
    except BackendError as exc:
        raise EngineFailed(str(exc)) from exc
    right = text is not None and _is_right(core.assistant(TENANT, ASSISTANT), question, text)
    if stream.mode != "on":
        return StreamAnswer(question.text, right, text is not None)
    lesson = _taught(stream, core, worker, put.id, question, right=right)
    if lesson is None:
        return StreamAnswer(question.text, right, text is not None)
    calls = lesson.report["engine_calls"] if lesson.report else 0
    return StreamAnswer(question.text, right, text is not None, lesson.state, calls)


def _is_right(assistant: Assistant, question: Question, text: str) -> bool:
    assert assistant.datasource is not None, "the assistant of a stream has one"
    expected = SqlResult(question.gold, is_ordered(question.gold[0]))
    accepted = run_accepted(assistant.datasource, expected)
    assert not isinstance(accepted, Judgement), "a question whose statement does not run is not in the set"
    return judge_sql(assistant.datasource, text, accepted, ordered=expected.ordered).status == "passed"


def _taught(
    stream: Stream, core: Core, worker: CaptureWorker, request: str, question: Question, *, right: bool
) -> Proposal | None:
    proposal = confirm(
        core,
        TENANT,
        request,
        "success" if right else "failure",
        answer=question.gold[0] if not right and stream.corrects(question) else None,
        note=None,
        by=PERSON,
        curates=True,
    )
    if proposal is None:
        return None
    worker.drain(only=proposal.id)
    return core.proposals.get(TENANT, proposal.id)
