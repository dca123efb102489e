"""What a confirmation teaches: the items that a proposal would add, and those they supersede."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.core import Assistant, Core
from gateway.gotchas import Candidates, candidates
from gateway.proposals import Confirmation
from gateway.same_template import contradicts, same_template
from gateway.traces import Trace
from gateway.unknown_values import unknown_values
from gateway.unread_columns import settled_names, unread_columns
from gateway.unused_aggregates import unused_aggregates
from gateway.unused_values import unused_values
from gateway.verification import sql_of
from kb.codec import canonical_json
from kb.items import Item, Provenance, Success
from kb.knowledge_base import Changes, Snapshot
from kb.known_values import whole_columns
from kb.masking import MaskedQuestion
from kb.same_question import same_question
from kb.sql_columns import columns_read, normal_sql, sql_pattern

SameResult = Callable[[str, str], bool]
"""Whether two answers give the same result now."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """`duplicate_of` is a success that says the same already; `merged` are those that say nearly the same, which the
    new one stands for from now on. `conflicts` are successes with another answer, of the same question or of one about
    other values; `superseded` are those of them that a curator rejected, so that they may be retired. `gotchas` are
    those that were proved. `unused` are values and aggregates of the question that the answer's statement has nothing
    of, `unread` columns that the question names and the statement does not read, `unknown` values of the statement that
    the columns it compares with them do not have.
    """

    success: Item
    duplicate_of: str | None
    conflicts: tuple[Item, ...]
    superseded: tuple[Item, ...]
    merged: tuple[Item, ...] = ()
    gotchas: tuple[Item, ...] = ()
    unused: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def doubt(self) -> str | None:
        """What the verdict itself does not settle, so that a person decides."""
        if len(self.conflicts) > len(self.superseded):
            return f"it contradicts {', '.join(item.id for item in self.conflicts)}"
        if self.unused:
            return f"its statement has nothing of {', '.join(self.unused)}, which the question names"
        if self.unread:
            return f"its statement does not read {', '.join(self.unread)}, which the question names"
        if self.unknown:
            return f"its statement compares {', '.join(self.unknown)}, which the column did not have when it was read"
        return None

    @property
    def retired(self) -> tuple[Item, ...]:
        """Landing settles every conflict in favour of the new answer: nothing is deleted, the old ones retire."""
        return tuple(item.with_status("retired") for item in (*self.conflicts, *self.merged))

    @property
    def changes(self) -> Changes:
        return Changes(put=(self.success, *self.gotchas, *self.retired))


def rules(core: Core, assistant: Assistant, trace: Trace, confirmation: Confirmation, head: Snapshot) -> Candidates:
    """The gotchas that a correction would teach, none of them proved yet, and what is no rule of it."""
    if confirmation.verdict != "failure" or not trace.answer:
        return Candidates()
    return candidates(
        sql_of(trace.answer),
        _taught_answer(assistant, trace, confirmation),
        core.retriever.mask(assistant.base, trace.question, revision=head.commit.id),
        dialect=_dialect(assistant),
        tables=core.retriever.tables(assistant.base, revision=head.commit.id),
        known=head.items,
        provenance=_provenance(trace, confirmation),
    )


def learn(
    core: Core,
    assistant: Assistant,
    trace: Trace,
    confirmation: Confirmation,
    head: Snapshot,
    same_result: SameResult,
) -> Lesson:
    """Derive the lesson of a confirmation against the items of `head`, yet without gotchas."""
    answer = _taught_answer(assistant, trace, confirmation)
    tables = core.retriever.tables(assistant.base, revision=head.commit.id)
    asked = core.retriever.mask(assistant.base, trace.question, revision=head.commit.id)
    met = _met(core, assistant, asked, answer, head, same_result)
    success = Item(
        id=f"success:{_digest(trace.question, answer)}",
        title=_title(trace.question),
        body=Success(trace.question, answer),
        depends_on=tuple(sorted(columns_read(answer, _dialect(assistant), tables))),
        supersedes=tuple(item.id for item in (*met.conflicts, *met.otherwise, *met.merged)),
        provenance=_provenance(trace, confirmation),
    )
    settles = confirmation.verdict == "failure" and confirmation.curates
    # Who rejected an answer has not judged those to other values, though they were in its context.
    superseded = tuple(item for item in met.conflicts if settles and item.id in _shown(trace))
    lesson = Lesson(success, met.duplicate_of, (*met.conflicts, *met.otherwise), superseded, tuple(met.merged))
    if assistant.datasource is None:
        return lesson
    unused = (*unused_values(asked, answer), *unused_aggregates(asked, answer))
    values = core.retriever.values(assistant.base, revision=head.commit.id)
    whole = whole_columns(head.items.values())
    unknown = unknown_values(answer, dialect=_dialect(assistant), tables=tables, values=values, whole=whole)
    if settles:
        # A curator who corrects an answer has said which columns are meant.
        return replace(lesson, unused=unused, unknown=unknown)
    settled = settled_names(head.items.values())
    unread = unread_columns(asked, answer, dialect=_dialect(assistant), tables=tables, settled=settled)
    return replace(lesson, unused=unused, unread=unread, unknown=unknown)


@dataclass(slots=True)
class _Met:
    """The successes at the head that a new answer has to do with. `conflicts` are of the same question, `otherwise` of
    one about other values.
    """

    duplicate_of: str | None = None
    conflicts: list[Item] = field(default_factory=list)
    otherwise: list[Item] = field(default_factory=list)
    merged: list[Item] = field(default_factory=list)


def _met(
    core: Core, assistant: Assistant, asked: MaskedQuestion, answer: str, head: Snapshot, same_result: SameResult
) -> _Met:
    dialect, at = _dialect(assistant), head.commit.id
    tables = core.retriever.tables(assistant.base, revision=at)
    values = core.retriever.values(assistant.base, revision=at)
    reads = columns_read(answer, dialect, tables)
    met = _Met()
    for item_id, known in core.retriever.patterns(assistant.base, revision=at).items():
        item = head.items[item_id]
        if not isinstance(item.body, Success):
            continue
        old = item.body.answer
        if not (same_question(asked, known) or _same_words(asked, known)):
            if _one_pattern(assistant, asked, known) and sql_pattern(old, dialect) == sql_pattern(answer, dialect):
                met.merged.append(item)
            elif (
                assistant.datasource is not None
                and same_template(asked, known, values)
                and contradicts(
                    asked, answer, known, old, dialect=dialect, tables=tables, values=values, same_result=same_result
                )
            ):
                met.otherwise.append(item)
        elif normal_sql(old, dialect) == normal_sql(answer, dialect):
            met.duplicate_of = item.id
        # Columns count beside the result: `SELECT 1277` is right today and knows nothing of customers.
        elif reads and columns_read(old, dialect, tables) == reads and same_result(old, answer):
            met.merged.append(item)
        else:
            met.conflicts.append(item)
    return met


def _same_words(asked: MaskedQuestion, known: MaskedQuestion) -> bool:
    """A personal question (`my orders`) is never the same for a verified answer; two answers to it contradict all the
    same.
    """
    return asked.question.casefold().split() == known.question.casefold().split()


def _one_pattern(assistant: Assistant, asked: MaskedQuestion, known: MaskedQuestion) -> bool:
    """One question about other values. Where confirmed answers are given as they are, each value needs its own."""
    return not assistant.settings.verified_answers and bool(asked.literals) and asked.text == known.text


def _dialect(assistant: Assistant) -> str:
    return assistant.datasource.dialect if assistant.datasource else "sqlite"


def _taught_answer(assistant: Assistant, trace: Trace, confirmation: Confirmation) -> str:
    answer = confirmation.answer or trace.answer
    assert answer, "a confirmation without any answer makes no proposal"
    # Where answers are run, the statement is what was confirmed; elsewhere it is the whole text.
    return sql_of(answer) if assistant.datasource else answer


def _shown(trace: Trace) -> set[str]:
    return {item.id for item in trace.items} | ({trace.verified_by} if trace.verified_by else set())


def _provenance(trace: Trace, confirmation: Confirmation) -> Provenance:
    return Provenance(
        source="confirmation",
        request_id=trace.id,
        confirmed_by=confirmation.confirmed_by,
        confirmed_at=confirmation.created_at,
        evidence=confirmation.note or "",
    )


def _title(question: str) -> str:
    line = " ".join(question.split())
    return line if len(line) <= 120 else f"{line[:119]}…"


def _digest(*parts: str) -> str:
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:12]
