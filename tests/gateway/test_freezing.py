"""Reach, from what requests needed to the order of the next prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.answering import Ask, prepare
from gateway.conversation import ask
from gateway.core import Core, open_core
from gateway.errors import BadRequest
from gateway.freezing import freeze_reach
from gateway.settings import Settings
from gateway.testing import ScriptedEngine
from kb.embedding import SentenceEmbedder
from kb.items import Document, Gotcha, Item
from kb.knowledge_base import Changes

from .cli_home import Home
from .test_cli import home, prepared  # noqa: F401

RETURNS = "How many returns were there?"
SUPPLIERS = "Which supplier has the longest lead time?"
WIDE = "Which products of which suppliers were returned by customers, and in which orders?"


@pytest.fixture
def core(
    make_settings: Callable[..., Settings], fill: Any, shop_items: Changes, embedder: SentenceEmbedder
) -> Iterator[Core]:
    wanted = make_settings()
    fill(wanted, shop_items)
    core = open_core(wanted, engines={"main": ScriptedEngine()}, embedder=embedder)
    yield core
    core.close()


def system_of(core: Core, question: str) -> str:
    return prepare(core, Ask("default", "shop", ask(question))).prompt.messages[0]["content"]


def tables_of(system: str) -> list[str]:
    return re.findall(r'<schema id="schema:(\w+)">', system)


def test_what_most_requests_needed_comes_first_in_the_next_prompts(served: Any) -> None:
    served.engine.enqueue(*["SELECT 1"] * 3)
    for question in (SUPPLIERS, SUPPLIERS, RETURNS):
        served.ask(question)
    core, base = served.core, served.core.base("default", "shop")
    before = tables_of(system_of(core, WIDE))
    freeze = freeze_reach(base, core.traces, branch="main", author="ann")
    assert freeze.requests == 3
    assert freeze.commit == base.head()
    reach = base.reach(base.head())
    assert (reach["schema:suppliers"], reach["schema:returns"]) == (667, 333)
    after = tables_of(system_of(core, WIDE))
    assert after == sorted(before, key=lambda table: (-reach.get(f"schema:{table}", 0), table))
    assert before == sorted(after) != after


def test_a_verified_answer_counts_for_nothing_since_it_has_no_prompt(served: Any) -> None:
    served.ask("How many customers do we have in Germany?")
    with pytest.raises(BadRequest, match="no engine has answered"):
        freeze_reach(served.core.base("default", "shop"), served.core.traces, branch="main", author="ann")


def test_another_tenants_requests_do_not_count(served: Any) -> None:
    served.engine.enqueue("SELECT 1")
    served.ask(SUPPLIERS)
    assert served.core.traces.reach("rival", "shop", 10) == (0, {})
    assert served.core.traces.reach("default", "shop", 10)[0] == 1


def test_a_freeze_between_two_turns_moves_nothing_that_was_placed(served: Any) -> None:
    served.engine.enqueue("SELECT 1", "SELECT 1", "SELECT 2")
    served.ask(SUPPLIERS)
    served.ask(WIDE)
    freeze_reach(served.core.base("default", "shop"), served.core.traces, branch="main", author="ann")
    talk = [("user", WIDE), ("assistant", "SELECT 1"), ("user", RETURNS)]
    served.ask([{"role": role, "content": content} for role, content in talk])
    before, after = served.engine.calls[-2].messages, served.engine.calls[-1].messages
    assert after[: len(before)] == before
    assert tables_of(system_of(served.core, WIDE)) != tables_of(before[0]["content"])


WORDS = st.lists(st.sampled_from("moss fern lichen heath bog peat sedge reed".split()), min_size=1, max_size=6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WORDS, st.sampled_from([Document, Gotcha]), st.booleans())
def test_a_commit_of_unrelated_knowledge_changes_no_byte(
    core: Core, words: list[str], body: Callable[[str], Any], frozen: bool
) -> None:
    base = core.base("default", "shop")
    if frozen and not base.head().reach:
        share = {item: number % 7 for number, item in enumerate(base.entries())}
        base.commit(Changes(), author="ann", message="x", reach=share)
    before = [system_of(core, question) for question in (SUPPLIERS, RETURNS)]
    text = " ".join(words)
    item = Item(f"{'document' if body is Document else 'gotcha'}:{'_'.join(words)}", text, body(text))
    if base.entries().get(item.id) is None:
        base.commit(Changes((item,)), author="ann", message="Plants")
    assert [system_of(core, question) for question in (SUPPLIERS, RETURNS)] == before


def test_the_command_says_when_there_is_nothing_to_count(home: Home) -> None:  # noqa: F811
    assert "no engine has answered a question over 'shop' yet" in home.refused("kb", "reach", "--kb", "shop")


def test_the_command_freezes_and_tells_what_moved(served: Any, tmp_path: Any) -> None:
    served.engine.enqueue("SELECT 1")
    served.ask(SUPPLIERS)
    shop = Home(tmp_path)
    shop.configure('home = "home"\n[assistants.shop]\nkb = "shop"\n')
    tried = shop("kb", "reach", "--kb", "shop", "--dry-run")
    assert "100.0 %  schema:suppliers" in tried.stdout
    assert "'shop': landing invalidates " in tried.stdout
    assert tried.stdout.endswith("nothing was committed\n")
    told = json.loads(shop("kb", "reach", "--kb", "shop", "--json").stdout)
    assert told["commit"]["reach"] == served.core.base("default", "shop").head().reach
    assert {"item": "schema:suppliers", "before": 0, "after": 1000} in told["changes"]
    assert "nothing" in shop.refused("kb", "reach", "--kb", "shop").lower()
