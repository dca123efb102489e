"""A case: a question to an assistant and what its answer must satisfy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from backend.engine import Message
from gateway.conversation import Conversation, parse_conversation


@dataclass(frozen=True, slots=True)
class Retrieves:
    """Every pattern (`fnmatch`, case-sensitive) fits the id of an item that was retrieved. Needs no engine."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SqlResult:
    """The answer's statement gives the rows of one of the statements `accepted`, run on the same datasource."""

    accepted: tuple[str, ...]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Equals:
    """The answer, without the space around it, is one of the texts `accepted`, to the letter."""

    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Regex:
    """Every pattern of Python's `re` is found somewhere in the answer."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Similar:
    """The answer's embedding has a cosine of `at_least` (0 to 1) with that of one of `texts`."""

    texts: tuple[str, ...]
    at_least: float


@dataclass(frozen=True, slots=True)
class Refuses:
    """The answer holds no statement, or one that the datasource's policy refuses."""


@dataclass(frozen=True, slots=True)
class Judge:
    """An engine says yes to the answer meeting `criterion`: one of kvasir.toml, or `None` for the assistant's own."""

    criterion: str
    engine: str | None = None


AnswerExpectation = SqlResult | Equals | Regex | Similar | Refuses | Judge
Expectation = Retrieves | AnswerExpectation


@dataclass(frozen=True, slots=True)
class FlakyMeasure:
    """What puts a case on the flaky list: of `repeats` fresh draws at a commit, on a day, some passed, some not."""

    passed: int
    repeats: int
    commit: str
    measured: date


@dataclass(frozen=True, slots=True)
class Case:
    """`earlier` holds the (user, assistant) turns before the question. `expect` is never empty; all of it must hold.

    One that is `held_out` is asked by gates alone. One on the flaky list (`flaky`) is reported and decides nothing.
    """

    id: str
    question: str
    expect: tuple[Expectation, ...]
    earlier: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    held_out: bool = False
    flaky: FlakyMeasure | None = None

    @property
    def conversation(self) -> Conversation:
        messages: list[Message] = []
        for user, assistant in self.earlier:
            messages += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
        return parse_conversation([*messages, {"role": "user", "content": self.question}])

    @property
    def needs_answer(self) -> bool:
        return any(not isinstance(expectation, Retrieves) for expectation in self.expect)
