"""An assistant that decodes SQL: the grammar that goes with its question, and the engines that take one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.answering import Ask, prepare
from gateway.conversation import parse_conversation
from gateway.errors import ConfigError
from gateway.settings import load_settings
from kb.introspect import introspect
from kb.items import Item, Schema
from kb.knowledge_base import Changes

from .taken_by_grammar import takes


def test_an_assistant_that_decodes_sql_sends_the_grammar_of_what_its_prompt_shows(serve: Callable[..., Any]) -> None:
    served = serve(decoding="sql")
    served.engine.enqueue("SELECT count(*) FROM orders")
    response = served.ask("How many orders are there?")
    assert response.status_code == 200, response.text
    assert response.json()["kvasir"]["verification"]["status"] == "passed"
    call = served.engine.calls[-1]
    shown = set(re.findall(r"\nTable (\w+)", call.messages[0]["content"]))
    assert "orders" in shown
    assert takes(call.sampling.grammar, "SELECT count(*) FROM orders")
    tables = {item.body.table for item in introspect_shop(served) if isinstance(item.body, Schema)}
    assert shown < tables
    for table in tables:
        assert takes(call.sampling.grammar, f"SELECT count(*) FROM {table}") == (table in shown)


def introspect_shop(served: Any) -> list[Item]:
    return introspect(served.core.settings.datasources["shop"].url.get_secret_value())


def test_an_assistant_decodes_freely_where_nothing_else_is_said(serve: Callable[..., Any]) -> None:
    served = serve()
    served.engine.enqueue("SELECT count(*) FROM orders")
    served.ask("How many orders are there?")
    assert served.engine.calls[-1].sampling.grammar is None


def test_a_prompt_without_a_schema_is_answered_freely(serve: Callable[..., Any]) -> None:
    served = serve(decoding="sql", branch="main")
    base = served.core.base("default", "shop")
    conversation = parse_conversation([{"role": "user", "content": "How many orders are there?"}])
    with_schemas = prepare(served.core, Ask("default", "shop", conversation))
    assert with_schemas.ask.sampling.grammar is not None
    schemas = [item.id for item in base.snapshot("main").items.values() if item.kind in ("schema", "relationship")]
    base.commit(Changes(remove=tuple(schemas)), author="test", message="Forget the tables", branch="main")
    assert prepare(served.core, Ask("default", "shop", conversation)).ask.sampling.grammar is None


def test_an_engine_that_takes_no_grammar_stops_the_start(tmp_path: Path) -> None:
    config = tmp_path / "kvasir.toml"
    text = '[engines.main]\nmodel = "{}/x"\npath = "x"\n'
    text += '[assistants.shop]\nkb = "shop"\nengine = "main"\ndecoding = "sql"\n'
    config.write_text(text.format("openai"))
    with pytest.raises(ConfigError, match=r"assistants\.shop\.decoding: got 'sql'; engine 'main' \(openai/x\)"):
        load_settings(config)
    for provider in ("embedded", "hosted_vllm"):
        config.write_text(text.format(provider))
        assert load_settings(config).assistants["shop"].decoding == "sql"
