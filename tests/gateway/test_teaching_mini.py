"""A gotcha on the real shop, derived from a correction and proved on the model that ships."""

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
from gateway.proposals import Proposal
from gateway.settings import AssistantSettings, DatasourceSettings, EngineSettings, Settings
from kb.database import open_database, upgrade
from kb.embedding import SentenceEmbedder
from kb.introspect import introspect
from kb.items import Gotcha
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore

HIGHEST = "What is the highest amount of a payment?"
RIGHT = "SELECT max(amount_cents) / 100.0 FROM payments"


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


def test_a_unit_that_the_model_gets_wrong_is_mended_by_its_gotcha_alone(
    settings: Settings, embedder: SentenceEmbedder
) -> None:
    core = open_core(settings, embedder=embedder)
    try:
        asked = Ask("default", "shop", ask(HIGHEST))
        first = asyncio.run(answer(core, prepare(core, asked)))
        assert first.trace.verification is not None
        (highest_cents,) = first.trace.verification["rows"]
        proposal = confirm(core, "default", asked.id, "failure", answer=RIGHT, note=None, by="ann")
        assert proposal is not None
        CaptureWorker(core, Capture(core, SuiteReplay())).drain()
        ended: Proposal = core.proposals.get("default", proposal.id)
        assert (ended.state, [step.outcome for step in ended.steps if step.name == "prove"]) == ("landed", ["ok"])
        items = core.base("default", "shop").snapshot().items.values()
        (gotcha,) = (item for item in items if item.kind == "gotcha")
        assert isinstance(gotcha.body, Gotcha)
        assert gotcha.status == "proposed"
        assert gotcha.body.right == "payments.amount_cents / 100.0"
        (highest,) = core.datasources["shop"].run(RIGHT).rows
        assert highest_cents[0] == pytest.approx(100 * highest[0])
    finally:
        core.close()
