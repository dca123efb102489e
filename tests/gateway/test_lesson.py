"""What a confirmation teaches: successes, duplicates, what nearly says the same, conflicts, rules of corrections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.core import Core, open_core
from gateway.gotchas import Candidates
from gateway.lesson import Lesson, SameResult, learn, rules
from gateway.proposals import Confirmation, Verdict
from gateway.settings import Settings
from gateway.testing import ScriptedEngine
from gateway.traces import Retrieved, Trace
from kb.embedding import SentenceEmbedder
from kb.items import Item, Success
from kb.knowledge_base import Changes

QUESTION = "Which supplier has the longest lead time?"
KNOWN = "success:customers_in_germany"
KNOWN_QUESTION = "What is the number of customers we have in Germany?"
OTHER_SQL = "SELECT count(*) FROM customers WHERE country = 'DE'"


@pytest.fixture
def open_shop(
    make_settings: Callable[..., Settings], fill: Any, shop_items: Changes, embedder: SentenceEmbedder
) -> Iterator[Callable[..., Core]]:
    opened: list[Core] = []

    def open_one(**assistant: Any) -> Core:
        settings = make_settings(**assistant)
        fill(settings, shop_items)
        opened.append(open_core(settings, engines={"main": ScriptedEngine()}, embedder=embedder))
        return opened[-1]

    yield open_one
    for core in opened:
        core.close()


@pytest.fixture
def core(open_shop: Callable[..., Core]) -> Core:
    return open_shop()


def given(
    core: Core, answer: str, right: str | None, question: str, shown: tuple[str, ...], *, curates: bool = True
) -> tuple[Any, ...]:
    """What `learn` and `rules` are given, of an answer that was confirmed, or rejected in favour of `right`."""
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
    confirmation = Confirmation("default", "req_a", verdict, right, "why", "ann", "2026-01-02T00:00:00+00:00", curates)
    return core, assistant, trace, confirmation, head


def differs(old: str, new: str) -> bool:
    return False


def agrees(old: str, new: str) -> bool:
    return True


def lesson(
    core: Core,
    answer: str,
    right: str | None = None,
    *,
    question: str = QUESTION,
    shown: tuple[str, ...] = (),
    same_result: SameResult = differs,
    curates: bool = True,
) -> Lesson:
    return learn(*given(core, answer, right, question, shown, curates=curates), same_result)


def ruled(core: Core, answer: str, right: str | None = None, *, question: str = QUESTION) -> Candidates:
    return rules(*given(core, answer, right, question, ()))


def test_a_confirmed_answer_becomes_a_success_with_its_columns_and_provenance(core: Core) -> None:
    learned = lesson(core, "```sql\nSELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1;\n```")
    item = learned.success
    assert item.body == Success(QUESTION, "SELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1")
    assert item.depends_on == ("suppliers.lead_time_days", "suppliers.name")
    assert item.provenance is not None
    assert (item.provenance.request_id, item.provenance.confirmed_by) == ("req_a", "ann")
    assert (item.provenance.confirmed_at, item.provenance.evidence) == ("2026-01-02T00:00:00+00:00", "why")
    assert (learned.gotchas, learned.duplicate_of, learned.conflicts, learned.merged) == ((), None, (), ())
    assert learned.changes == Changes(put=(item,))


def test_the_same_confirmation_gives_the_same_item(core: Core) -> None:
    assert lesson(core, "SELECT 1").success == lesson(core, "SELECT 1").success
    assert lesson(core, "SELECT 1").success.id != lesson(core, "SELECT 2").success.id


WRONG = "SELECT count(*) FROM orders WHERE status = 'cancelled'"
RIGHT = "SELECT count(*) FROM orders WHERE state = 'cancelled'"


@pytest.mark.parametrize(("wrong", "right"), [(WRONG, RIGHT), (f"```sql\n{WRONG}\n```", f"{RIGHT};")])
def test_a_correction_has_its_rules_with_the_corrections_provenance(core: Core, wrong: str, right: str) -> None:
    (gotcha,) = ruled(core, wrong, right).gotchas
    assert gotcha.title == "orders.state, not orders.status"
    assert gotcha.provenance == lesson(core, wrong, right).success.provenance


def test_a_value_of_the_question_is_told_to_be_left_out_of_the_rules(core: Core) -> None:
    right = f"{RIGHT} AND channel = 'web'"
    found = ruled(core, WRONG, right, question="How many web orders were cancelled?")
    assert [item.title for item in found.gotchas] == ["orders.state, not orders.status"]
    found = ruled(core, RIGHT, right, question="How many web orders were cancelled?")
    assert (found.gotchas, found.left_out) == ((), ("the question says 'web'",))


def test_a_confirmed_answer_has_no_rules(core: Core) -> None:
    assert ruled(core, WRONG) == Candidates()


def test_a_rule_that_the_base_has_is_not_taught_again(core: Core) -> None:
    (gotcha,) = ruled(core, WRONG, RIGHT).gotchas
    core.base("default", "shop").commit(Changes(put=(gotcha,)), author="ann", message="Propose it")
    assert ruled(core, WRONG, RIGHT) == Candidates()


def test_what_was_proved_lands_beside_the_success(core: Core) -> None:
    (gotcha,) = ruled(core, WRONG, RIGHT).gotchas
    learned = replace(lesson(core, WRONG, RIGHT), gotchas=(gotcha,))
    assert learned.changes == Changes(put=(learned.success, gotcha))


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
    assert learned.doubt
    assert learned.success.supersedes == (KNOWN,)
    assert [(item.id, item.status) for item in learned.changes.put[1:]] == [(KNOWN, "retired")]


def test_a_curators_rejection_of_the_shown_answer_settles_its_conflict(core: Core) -> None:
    learned = lesson(core, known_answer(core), OTHER_SQL, question=KNOWN_QUESTION, shown=(KNOWN,))
    assert [item.id for item in learned.superseded] == [KNOWN]
    assert learned.doubt is None


def test_a_rejection_by_who_may_only_confirm_does_not_settle_a_conflict(core: Core) -> None:
    given = {"question": KNOWN_QUESTION, "shown": (KNOWN,)}
    assert lesson(core, known_answer(core), OTHER_SQL, curates=False, **given).doubt


def test_a_rejection_that_never_saw_the_other_answer_does_not_settle_it(core: Core) -> None:
    assert lesson(core, "SELECT 1", OTHER_SQL, question=KNOWN_QUESTION).doubt


def test_two_answers_to_one_personal_question_are_a_conflict(core: Core) -> None:
    question = "How many orders are in my name?"
    base = core.base("default", "shop")
    item = Item("success:mine", question, Success(question, "SELECT 1"))
    base.commit(Changes(put=(item,)), author="ann", message="Mine")
    learned = lesson(core, OTHER_SQL, question=f" {question.upper()}")
    assert [item.id for item in learned.conflicts] == ["success:mine"]
    assert learned.doubt


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


def test_other_words_for_the_same_result_of_the_same_columns_are_merged_without_a_person(core: Core) -> None:
    same = known_answer(core).replace("deleted_at IS NULL", "NOT deleted_at IS NOT NULL")
    learned = lesson(core, same, question=KNOWN_QUESTION, same_result=agrees)
    assert ([item.id for item in learned.merged], learned.conflicts) == ([KNOWN], ())
    assert learned.doubt is None
    assert learned.success.supersedes == (KNOWN,)
    assert [(item.id, item.status) for item in learned.changes.put[1:]] == [(KNOWN, "retired")]


@pytest.mark.parametrize(
    ("answer", "same_result"),
    [
        ("SELECT 1277", agrees),
        ("SELECT count(*) FROM customers WHERE country = 'DE'", agrees),
        ("SELECT count(*) FROM customers WHERE country = 'AT' AND deleted_at IS NULL AND is_test = 0", differs),
    ],
)
def test_the_same_result_of_other_columns_or_another_result_is_a_conflict(
    core: Core, answer: str, same_result: SameResult
) -> None:
    learned = lesson(core, answer, question=KNOWN_QUESTION, same_result=same_result)
    assert ([item.id for item in learned.conflicts], learned.merged) == ([KNOWN], ())


CANCELLED = "success:orders_cancelled_2025"
IN_2024 = "How many orders placed in 2024 were cancelled?"


def in_2024(core: Core) -> str:
    body = core.base("default", "shop").item(CANCELLED).body
    assert isinstance(body, Success)
    return body.answer.replace("2025", "2024").replace("2026", "2025")


def test_a_question_about_another_value_stands_for_both_where_an_engine_answers(open_shop: Callable[..., Core]) -> None:
    core = open_shop(verified_answers=False)
    learned = lesson(core, in_2024(core), question=IN_2024)
    assert ([item.id for item in learned.merged], learned.conflicts) == ([CANCELLED], ())


def test_a_question_about_another_value_is_kept_beside_it_where_confirmed_answers_are_given(core: Core) -> None:
    learned = lesson(core, in_2024(core), question=IN_2024)
    assert (learned.merged, learned.conflicts) == ((), ())


@pytest.mark.parametrize("verified_answers", [True, False])
def test_a_question_about_another_value_whose_statement_is_another_contradicts(
    open_shop: Callable[..., Core], verified_answers: bool
) -> None:
    core = open_shop(verified_answers=verified_answers)
    learned = lesson(core, in_2024(core).replace("o.status", "o.state"), question=IN_2024)
    assert ([item.id for item in learned.conflicts], learned.merged) == ([CANCELLED], ())
    assert learned.doubt == f"it contradicts {CANCELLED}"
    assert learned.success.supersedes == (CANCELLED,)


def test_a_curators_rejection_does_not_settle_what_contradicts_an_answer_about_another_value(core: Core) -> None:
    by_state = in_2024(core).replace("o.status", "o.state")
    learned = lesson(core, in_2024(core), by_state, question=IN_2024, shown=(CANCELLED,), curates=True)
    assert learned.superseded == ()
    assert learned.doubt


def test_a_value_of_the_question_that_the_statement_lacks_is_left_to_a_person(core: Core) -> None:
    learned = lesson(core, "SELECT count(*) FROM orders", question="How many orders have more than 250 parcels?")
    assert (learned.unused, learned.conflicts) == (("250",), ())
    assert learned.doubt == "its statement has nothing of 250, which the question names"


def test_an_aggregate_of_the_question_that_the_statement_lacks_is_left_to_a_person(core: Core) -> None:
    learned = lesson(core, "SELECT sum(total) FROM orders", question="What is the highest total of an order?")
    assert learned.doubt == "its statement has nothing of highest, which the question names"


BY_CHANNEL = "How many orders are there for each channel?"
BY_STATE = "SELECT state, count(*) FROM orders GROUP BY state"


def test_a_column_of_the_question_that_the_statement_does_not_read_is_left_to_a_person(core: Core) -> None:
    learned = lesson(core, BY_STATE, question=BY_CHANNEL)
    assert (learned.unread, learned.conflicts) == (("orders.channel",), ())
    assert learned.doubt == "its statement does not read orders.channel, which the question names"


@pytest.mark.parametrize(("curates", "unread"), [(True, ()), (False, ("orders.channel",))])
def test_a_curator_who_corrects_an_answer_has_said_which_columns_are_meant(
    core: Core, curates: bool, unread: tuple[str, ...]
) -> None:
    learned = lesson(core, BY_STATE.replace("state", "channel"), BY_STATE, question=BY_CHANNEL, curates=curates)
    assert learned.unread == unread


@pytest.mark.parametrize("curates", [True, False])
def test_a_value_that_the_column_does_not_have_is_left_to_a_person_whoever_says_it(core: Core, curates: bool) -> None:
    right = "SELECT count(*) FROM orders WHERE state = 'canceled'"
    learned = lesson(core, "SELECT count(*) FROM orders", right, question="How many orders are lost?", curates=curates)
    assert learned.unknown == ("orders.state with 'canceled' (did you mean 'cancelled'?)",)
    assert learned.doubt == (
        "its statement compares orders.state with 'canceled' (did you mean 'cancelled'?), "
        "which the column did not have when it was read"
    )


def test_a_long_question_gets_a_short_title(core: Core) -> None:
    learned = lesson(core, "SELECT 1", question="How many\norders " + "and more orders " * 30)
    assert learned.success.title.startswith("How many orders and more")
    assert len(learned.success.title) == 120
