"""What landing costs the cache, over the requests that an assistant had."""

from __future__ import annotations

import asyncio

from backend.errors import EngineUnreachable
from evals.replay import compare
from gateway.answering import Ask, answer, prepare
from gateway.conversation import ask
from gateway.prefix_cost import prefix_cost
from gateway.replay import PrefixCost
from kb.items import Item, Rule

from .conftest import OpenShop, Shop, gotcha, success

ORDERS = "How many orders were delivered?"
REVIEWS = "How many reviews have five stars?"


def asked(shop: Shop, *questions: str) -> None:
    for question in questions:
        shop.engine.enqueue("SELECT 1")
        asyncio.run(answer(shop.core, prepare(shop.core, Ask("default", "shop", ask(question)))))


def cost(shop: Shop, base: str, *, recent: int = 200) -> PrefixCost | None:
    return asyncio.run(prefix_cost(shop.core, shop.assistant, base, shop.head, recent=recent))


def words(shop: Shop, question: str, commit: str) -> list[str]:
    prepared = prepare(shop.core, Ask("default", "shop", ask(question)), revision=commit)
    return prepared.prompt.messages[0]["content"].split()


def test_an_item_at_the_end_of_some_prompts_invalidates_what_stands_behind_it(shop: Shop) -> None:
    shop.learn(success("orders", ORDERS, "SELECT 2"))
    before = shop.head
    asked(shop, ORDERS, ORDERS, REVIEWS)
    shop.learn(gotcha("delivered", "Delivered is a state.", "delivered"))

    found = cost(shop, before)

    whole, changed = words(shop, ORDERS, before), words(shop, ORDERS, shop.head)
    kept = next(i for i, (old, new) in enumerate(zip(whole, changed, strict=False)) if old != new)
    untouched = len(words(shop, REVIEWS, before))
    assert found is not None
    assert (found.requests, found.unit) == (3, "tokens")
    assert found.prefix_invalidated + found.prefix_kept == 2 * len(whole) + untouched
    # The tag of the new item begins as that of the success does, so that a part of a word is common.
    assert 0 <= found.prefix_kept - 2 * kept - untouched <= 2
    assert found.prefix_invalidated > 2


def test_a_rule_stands_in_front_and_invalidates_more_than_a_gotcha(shop: Shop) -> None:
    before = shop.head
    asked(shop, ORDERS)
    shop.learn(gotcha("delivered", "Delivered is a state.", "delivered"))
    of_gotcha = cost(shop, before)
    shop.learn(Item("rule:euros", "Euros", Rule("Amounts are in euros.")))
    of_rule = cost(shop, before)

    assert of_gotcha is not None
    assert of_rule is not None
    assert of_gotcha.prefix_invalidated == 0  # nothing stood behind it
    assert of_rule.prefix_invalidated > of_rule.prefix_kept


def test_only_the_last_requests_count_and_none_cost_nothing(shop: Shop) -> None:
    before = shop.head
    assert cost(shop, before) is None
    asked(shop, ORDERS, REVIEWS, REVIEWS)

    last, none = cost(shop, before, recent=2), cost(shop, before, recent=0)

    assert last == PrefixCost(2, 2 * len(words(shop, REVIEWS, before)), 0, "tokens")
    assert none is None


def test_requests_that_a_confirmed_answer_served_reach_no_cache(open_shop: OpenShop) -> None:
    shop = open_shop(verified_answers=True)
    shop.learn(success("orders", ORDERS, "SELECT 2"))
    before = shop.head
    asyncio.run(answer(shop.core, prepare(shop.core, Ask("default", "shop", ask(ORDERS)))))

    assert shop.core.traces.recent("default", "shop", 10)[0].answered_by == "verified"
    assert cost(shop, before) is None


def test_without_an_engine_that_counts_it_is_told_in_characters(shop: Shop) -> None:
    before = shop.head
    asked(shop, ORDERS)

    async def away(_messages: object) -> int:
        raise EngineUnreachable("main", None)

    shop.engine.count_tokens = away  # type: ignore[method-assign,assignment]
    found = cost(shop, before)

    text = prepare(shop.core, Ask("default", "shop", ask(ORDERS)), revision=before).prompt.messages[0]["content"]
    assert found == PrefixCost(1, len(text), 0, "characters")


def test_the_report_of_a_replay_has_it_and_no_trace_more(shop: Shop) -> None:
    before = shop.head
    asked(shop, ORDERS)
    shop.learn(Item("rule:euros", "Euros", Rule("Amounts are in euros.")))

    report = compare(shop.core, shop.assistant, [], base=before, head="main")
    without = compare(shop.core, shop.assistant, [], base=before, head="main", recent_requests=0)

    assert report.prefix is not None
    assert (report.prefix.requests, without.prefix) == (1, None)
    assert len(shop.core.traces.recent("default", "shop", 10)) == 1
    assert shop.core.traces.recent("acme", "shop", 10) == []
