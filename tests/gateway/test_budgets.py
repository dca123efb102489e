"""Budgets in tokens of the engine: what a block costs is what the engine counts it at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from backend.client import EngineConfig, connect
from backend.errors import EngineUnreachable
from gateway.answering import Ask, prepare
from gateway.conversation import ask
from gateway.item_tokens import ItemTokens
from gateway.placements import Placed, Placements
from gateway.prompt import DEFAULT_INSTRUCTIONS, assemble, block
from gateway.settings import Settings
from gateway.testing import ScriptedEngine
from kb.hit import Hit
from kb.knowledge_base import Changes

WIDE = "Which products of which suppliers were returned by customers, and in which orders?"


def tables(served: Any) -> list[tuple[str, int]]:
    """The tables in the prompt of a question, and the words of each."""
    hits = prepare(served.core, Ask("default", "shop", ask(WIDE))).retrieval.of_kind("schema")
    return [(hit.item.id, len(block(hit.item).split())) for hit in hits]


def test_the_blocks_of_a_prompt_cost_what_the_shipped_model_counts_them_at(shop_items: Changes) -> None:
    engine = connect(EngineConfig("mini", "embedded/kvasir-mini"))
    tokens = ItemTokens(engine)

    def whole(*placed: Placed) -> int:
        messages = assemble(DEFAULT_INSTRUCTIONS, ask("How many?"), Placements(placed)).messages
        return asyncio.run(engine.count_tokens(messages))

    items = shop_items.put
    counted = [tokens.of(Hit(item, item.id, 1.0, ())) for item in items]
    assert min(counted) > 5
    assert whole(*(Placed(item, item.id) for item in items)) == whole() + sum(counted)


def test_a_budget_leaves_out_tables_whole_and_their_joins_with_them(
    serve: Callable[..., Any], make_settings: Callable[..., Settings]
) -> None:
    free = tables(serve())
    room = sum(size for _, size in free[:3])
    assert len(free) > 4
    served = serve(make_settings(budgets={"schema": room}), filled=False)
    kept = tables(served)
    assert 0 < sum(size for _, size in kept) <= room
    assert {table for table, _ in kept} < {table for table, _ in free}
    shown = {table.removeprefix("schema:") for table, _ in kept}
    joins = prepare(served.core, Ask("default", "shop", ask(WIDE))).retrieval.of_kind("relationship")
    assert joins
    assert all({hit.item.body.left_table, hit.item.body.right_table} <= shown for hit in joins)  # type: ignore[union-attr]


def test_an_item_is_counted_once(shop_items: Changes) -> None:
    class Counting(ScriptedEngine):
        asked = 0

        async def text_tokens(self, text: str) -> int:
            self.asked += 1
            return await super().text_tokens(text)

    engine = Counting()
    tokens = ItemTokens(engine)
    hit = Hit(shop_items.put[0], "hash", 1.0, ())

    async def inside_a_loop() -> int:
        return tokens.of(hit)

    assert tokens.of(hit) == asyncio.run(inside_a_loop()) == len(block(hit.item).split())
    assert engine.asked == 1


def test_an_engine_that_is_away_is_told_where_a_budget_needs_it(shop_items: Changes) -> None:
    gone = connect(EngineConfig("main", "hosted_vllm/served", api_base="http://127.0.0.1:1/v1"))
    with pytest.raises(EngineUnreachable):
        ItemTokens(gone).of(Hit(shop_items.put[0], "hash", 1.0, ()))
