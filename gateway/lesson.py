"""What a confirmation teaches: the items that a proposal would add, and those they supersede."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway.core import Assistant, Core
from gateway.proposals import Confirmation
from gateway.traces import Trace
from gateway.verification import sql_of
from kb.codec import canonical_json
from kb.entities import name_key
from kb.items import Entity, Gotcha, Item, Provenance, Success
from kb.knowledge_base import Changes, Snapshot
from kb.same_question import same_question
from kb.sql_columns import columns_read, normal_sql


@dataclass(frozen=True, slots=True)
class Lesson:
    """`duplicate_of` is a success that says the same already. `conflicts` are successes of the same question with
    another answer; `superseded` are those of them that this person rejected, so that they may be retired.
    """

    success: Item
    gotcha: Item | None
    duplicate_of: str | None
    conflicts: tuple[Item, ...]
    superseded: tuple[Item, ...]

    @property
    def needs_a_person(self) -> bool:
        """A conflict that the verdict itself does not settle."""
        return len(self.conflicts) > len(self.superseded)

    @property
    def changes(self) -> Changes:
        """Landing settles every conflict in favour of the new answer: nothing is deleted, the old ones retire."""
        retired = tuple(item.with_status("retired") for item in self.conflicts)
        return Changes(put=(self.success, *([self.gotcha] if self.gotcha else []), *retired))


def learn(core: Core, assistant: Assistant, trace: Trace, confirmation: Confirmation, head: Snapshot) -> Lesson:
    """Derive the lesson of a confirmation against the items of `head`."""
    answer = _taught_answer(assistant, trace, confirmation)
    dialect = assistant.datasource.dialect if assistant.datasource else "sqlite"
    tables = core.retriever.tables(assistant.base, revision=head.commit.id)
    asked = core.retriever.mask(assistant.base, trace.question, revision=head.commit.id)
    duplicate, conflicts = None, []
    for item_id, known in core.retriever.patterns(assistant.base, revision=head.commit.id).items():
        item = head.items[item_id]
        if isinstance(item.body, Success) and same_question(asked, known):
            if normal_sql(item.body.answer, dialect) == normal_sql(answer, dialect):
                duplicate = item.id
            else:
                conflicts.append(item)
    rejected = confirmation.verdict == "failure"
    superseded = tuple(item for item in conflicts if rejected and item.id in _shown(trace))
    reads = columns_read(answer, dialect, tables)
    provenance = _provenance(trace, confirmation)
    success = Item(
        id=f"success:{_digest(trace.question, answer)}",
        title=_title(trace.question),
        body=Success(trace.question, answer),
        depends_on=tuple(sorted(reads)),
        supersedes=tuple(item.id for item in conflicts),
        provenance=provenance,
    )
    gotcha = None
    if rejected and trace.answer:
        wrong = columns_read(sql_of(trace.answer), dialect, tables)
        gotcha = _other_column(wrong, reads, provenance)
        if gotcha is not None and gotcha.id in head.items:
            gotcha = None
    return Lesson(success, gotcha, duplicate, tuple(conflicts), superseded)


def _taught_answer(assistant: Assistant, trace: Trace, confirmation: Confirmation) -> str:
    answer = confirmation.answer or trace.answer
    assert answer, "a confirmation without any answer makes no proposal"
    # Where answers are run, the statement is what was confirmed; elsewhere it is the whole text.
    return sql_of(answer) if assistant.datasource else answer


def _shown(trace: Trace) -> set[str]:
    return {item.id for item in trace.items} | ({trace.verified_by} if trace.verified_by else set())


def _other_column(wrong: frozenset[str], right: frozenset[str], provenance: Provenance) -> Item | None:
    """A rule where the answers differ by exactly one column of one table; proposed, for a curator to activate."""
    left, instead = wrong - right, right - wrong
    if len(left) != 1 or len(instead) != 1:
        return None
    (bad,), (good,) = left, instead
    table, _, bad_column = bad.partition(".")
    good_table, _, good_column = good.partition(".")
    if table != good_table:
        return None
    about = tuple(dict.fromkeys((good, bad, f"{table} {good_column}", f"{table} {bad_column}")))
    return Item(
        id=f"gotcha:{_digest(bad, good)}",
        title=f"{good}, not {bad}",
        body=Gotcha(f"Use {good}, not {bad}.", wrong=bad, right=good),
        entities=tuple(Entity(name) for name in {name_key(name): name for name in reversed(about)}.values()),
        depends_on=(bad, good) if bad < good else (good, bad),
        status="proposed",
        provenance=provenance,
    )


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
