"""What a confirmation teaches: successes, duplicates, conflicts, and gotchas from the difference of two answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.core import Core, open_core
from gateway.lesson import Lesson, learn
from gateway.proposals import Confirmation, Verdict
from gateway.settings import Settings
from gateway.testing import ScriptedEngine
from gateway.traces import Retrieved, Trace
from kb.embedding import SentenceEmbedder
from kb.items import Gotcha, Item, Success
from kb.knowledge_base import Changes

QUESTION = "Which supplier has the longest lead time?"
KNOWN = "success:customers_in_germany"
KNOWN_QUESTION = "What is the number of customers we have in Germany?"
OTHER_SQL = "SELECT count(*) FROM customers WHERE country = 'DE'"


@pytest.fixture
def core(
    make_settings: Callable[..., Settings], fill: Any, shop_items: Changes, embedder: SentenceEmbedder
) -> Iterator[Core]:
    settings = make_settings()
    fill(settings, shop_items)
    core = open_core(settings, engines={"main": ScriptedEngine()}, embedder=embedder)
    yield core
    core.close()


def lesson(
    core: Core, answer: str, right: str | None = None, *, question: str = QUESTION, shown: tuple[str, ...] = ()
) -> Lesson:
    """Of an answer that was confirmed, or rejected in favour of `right`, where the items `shown` were retrieved."""
    assistant = core.assistant("default", "shop")
    head = assistant.base.snapshot()
    items = tuple(Retrieved(name, "hash", "success", "title", 1.0, ()) for name in shown)
    trace = Trace(
        id="req_a",
        tenant="default",
        created_at="2026-01-01T00:00:00+00:00",
        assistant="shop",
        kb="shop",
        commit=head.commit.id,
        session_id="ses",
        user="",
        status="answered",
        messages=(),
        question=question,
        items=items,
        prompt=(),
        prompt_hash="0" * 64,
        answer=answer,
    )
    verdict: Verdict = "failure" if right else "success"
    confirmation = Confirmation("default", "req_a", verdict, right, "why", "ann", "2026-01-02T00:00:00+00:00")
    return learn(core, assistant, trace, confirmation, head)


def test_a_confirmed_answer_becomes_a_success_with_its_columns_and_provenance(core: Core) -> None:
    learned = lesson(core, "```sql\nSELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1;\n```")
    item = learned.success
    assert item.body == Success(QUESTION, "SELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1")
    assert item.depends_on == ("suppliers.lead_time_days", "suppliers.name")
    assert item.provenance is not None
    assert (item.provenance.request_id, item.provenance.confirmed_by) == ("req_a", "ann")
    assert (item.provenance.confirmed_at, item.provenance.evidence) == ("2026-01-02T00:00:00+00:00", "why")
    assert (learned.gotcha, learned.duplicate_of, learned.conflicts) == (None, None, ())
    assert learned.changes == Changes(put=(item,))


def test_the_same_confirmation_gives_the_same_item(core: Core) -> None:
    assert lesson(core, "SELECT 1").success == lesson(core, "SELECT 1").success
    assert lesson(core, "SELECT 1").success.id != lesson(core, "SELECT 2").success.id


WRONG = "SELECT count(*) FROM orders WHERE status = 'cancelled'"
RIGHT = "SELECT count(*) FROM orders WHERE state = 'cancelled'"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (WRONG, RIGHT),
        (WRONG, "SELECT count(o.state) AS n FROM orders AS o WHERE o.state IN ('cancelled', 'returned')"),
        (f"```sql\n{WRONG}\n```", f"{RIGHT};"),
        (WRONG.upper().replace("'CANCELLED'", "'cancelled'"), RIGHT),
    ],
)
def test_another_column_of_the_same_table_is_a_proposed_gotcha(core: Core, wrong: str, right: str) -> None:
    gotcha = lesson(core, wrong, right).gotcha
    assert gotcha is not None
    assert gotcha.body == Gotcha("Use orders.state, not orders.status.", "orders.status", "orders.state")
    assert gotcha.status == "proposed"
    assert not gotcha.retrievable
    assert gotcha.depends_on == ("orders.state", "orders.status")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (WRONG, WRONG.replace("cancelled", "returned")),
        (WRONG, f"{WRONG} AND state = 'cancelled'"),
        (f"{WRONG} AND state = 'cancelled'", WRONG),
        ("SELECT count(name) FROM suppliers", "SELECT count(name) FROM products"),
        (WRONG, "SELECT count(channel) FROM orders WHERE state = 'cancelled'"),
        (WRONG, "SELECT count(*) FROM orders"),
        ("I do not know.", RIGHT),
        ("SELECT count(*) FROM nowhere WHERE x = 1", RIGHT),
        (WRONG, "SELECT max(paid_at) FROM payments"),
    ],
)
def test_any_other_difference_is_no_gotcha(core: Core, wrong: str, right: str) -> None:
    assert lesson(core, wrong, right).gotcha is None


def test_a_confirmed_answer_never_gives_a_gotcha(core: Core) -> None:
    assert lesson(core, WRONG).gotcha is None


def test_a_gotcha_that_the_base_has_is_not_proposed_again(core: Core) -> None:
    gotcha = lesson(core, WRONG, RIGHT).gotcha
    assert gotcha is not None
    core.base("default", "shop").commit(Changes(put=(gotcha,)), author="ann", message="Propose it")
    assert lesson(core, WRONG, RIGHT).gotcha is None


def known_answer(core: Core) -> str:
    body = core.base("default", "shop").item(KNOWN).body
    assert isinstance(body, Success)
    return body.answer


def test_the_same_answer_to_the_same_question_is_a_duplicate(core: Core) -> None:
    same = "  " + known_answer(core).replace("SELECT", "select").replace("FROM", "\nfrom")
    learned = lesson(core, same, question=KNOWN_QUESTION)
    assert (learned.duplicate_of, learned.conflicts) == (KNOWN, ())


def test_another_answer_to_the_same_question_is_a_conflict_that_a_person_decides(core: Core) -> None:
    learned = lesson(core, OTHER_SQL, question=KNOWN_QUESTION, shown=(KNOWN,))
    assert learned.duplicate_of is None
    assert [item.id for item in learned.conflicts] == [KNOWN]
    assert learned.superseded == ()
    assert learned.needs_a_person
    assert learned.success.supersedes == (KNOWN,)
    assert [(item.id, item.status) for item in learned.changes.put[1:]] == [(KNOWN, "retired")]


def test_a_rejection_of_the_shown_answer_settles_its_conflict(core: Core) -> None:
    learned = lesson(core, known_answer(core), OTHER_SQL, question=KNOWN_QUESTION, shown=(KNOWN,))
    assert [item.id for item in learned.superseded] == [KNOWN]
    assert not learned.needs_a_person


def test_a_rejection_that_never_saw_the_other_answer_does_not_settle_it(core: Core) -> None:
    assert lesson(core, "SELECT 1", OTHER_SQL, question=KNOWN_QUESTION).needs_a_person


def test_the_answer_to_another_question_is_neither(core: Core) -> None:
    learned = lesson(core, OTHER_SQL, question="How many customers do we have in France?", shown=(KNOWN,))
    assert (learned.duplicate_of, learned.conflicts) == (None, ())


@pytest.mark.parametrize("status", ["retired", "quarantined", "proposed"])
def test_what_is_not_active_is_no_conflict(core: Core, status: Any) -> None:
    base = core.base("default", "shop")
    old: Item = base.item(KNOWN).with_status(status)
    base.commit(Changes(put=(old,)), author="ann", message="Change its status")
    learned = lesson(core, OTHER_SQL, question=KNOWN_QUESTION)
    assert (learned.duplicate_of, learned.conflicts) == (None, ())


def test_a_long_question_gets_a_short_title(core: Core) -> None:
    learned = lesson(core, "SELECT 1", question="How many\norders " + "and more orders " * 30)
    assert learned.success.title.startswith("How many orders and more")
    assert len(learned.success.title) == 120
