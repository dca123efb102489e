"""Gotchas on the real shop, derived from corrections and proved on the model that ships."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evals.replay import SuiteReplay
from gateway.answering import Ask, answer, prepare
from gateway.capture import Capture
from gateway.capture_worker import CaptureWorker
from gateway.confirming import confirm
from gateway.conversation import ask
from gateway.core import open_core
from gateway.settings import AssistantSettings, DatasourceSettings, EngineSettings, Settings
from kb.database import open_database, upgrade
from kb.embedding import SentenceEmbedder
from kb.introspect import introspect
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore


@pytest.fixture
def settings(tmp_path: Path, shop_database: Path) -> Settings:
    """The shop's tables and nothing else that is known of it."""
    url = f"sqlite:///{shop_database}"
    assistant = AssistantSettings(
        kb="shop",
        engine="mini",
        datasource="shop",
        decoding="sql",
    )
    settings = Settings(
        home=tmp_path / "home",
        engines={"mini": EngineSettings(model="embedded/kvasir-mini")},
        datasources={"shop": DatasourceSettings(url=url)},
        assistants={"shop": assistant},
    )
    database = open_database(settings.state_url)
    upgrade(database)
    base = KnowledgeBase.create(SqlStore(database), "default", "shop", author="ann")
    items = introspect(url, sample=["orders.state", "orders.channel", "payments.result", "customers.country"])
    base.commit(Changes(put=tuple(items)), author="ann", message="The shop's tables")
    database.dispose()
    return settings


@pytest.mark.parametrize(
    ("question", "right", "title"),
    [
        (
            "What is the highest amount of a payment?",
            "SELECT max(amount_cents) / 100.0 FROM payments",
            "payments.amount_cents / 100.0, not payments.amount_cents",
        ),
        (
            "How many orders have the status cancelled?",
            "SELECT count(*) FROM orders WHERE state = 'cancelled'",
            "orders.state, not orders.status",
        ),
    ],
)
def test_what_the_model_gets_wrong_is_mended_by_the_gotcha_alone(
    settings: Settings, embedder: SentenceEmbedder, question: str, right: str, title: str
) -> None:
    core = open_core(settings, embedder=embedder)
    try:
        asked = Ask("default", "shop", ask(question))
        first = asyncio.run(answer(core, prepare(core, asked)))
        assert first.trace.verification is not None
        assert first.trace.verification["rows"] != core.datasources["shop"].run(right).rows
        proposal = confirm(core, "default", asked.id, "failure", answer=right, note=None, by="ann", curates=True)
        assert proposal is not None
        CaptureWorker(core, Capture(core, SuiteReplay())).drain()
        ended = core.proposals.get("default", proposal.id)
        assert (ended.state, [step.outcome for step in ended.steps if step.name == "prove"]) == ("landed", ["ok"])
        items = core.base("default", "shop").snapshot().items.values()
        assert [(item.title, item.status) for item in items if item.kind == "gotcha"] == [(title, "proposed")]
    finally:
        core.close()
