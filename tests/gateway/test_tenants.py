"""Keys, roles and tenants: nobody gets in, and no tenant reaches another's data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import AssistantSettings, DatasourceSettings, Settings
from kb.items import Item, Rule
from kb.knowledge_base import Changes

SECRET = "The secret of acme is blue."


@dataclass
class Tenants:
    served: Any
    acme: httpx.Client
    rival: httpx.Client


@pytest.fixture
def settings(tmp_path: Path, shop_database: Path) -> Settings:
    assistant = {"kb": "shop", "engine": "main", "datasource": "shop"}
    return Settings(
        home=tmp_path / "home",
        engines={"main": {"model": "scripted/engine"}},
        datasources={"shop": DatasourceSettings(url=f"sqlite:///{shop_database}")},
        assistants={
            "shop": AssistantSettings(tenant="acme", **assistant),
            "rival": AssistantSettings(tenant="rival", **assistant),
        },
    )


@pytest.fixture
def tenants(settings: Settings, serve: Callable[..., Any], fill: Any, shop_items: Changes) -> Tenants:
    secret = Item("rule:secret", "A secret", Rule(SECRET))
    fill(settings, Changes(put=(*shop_items.put, secret)), tenant="acme")
    fill_more(settings, shop_items)
    served = serve(settings, filled=False)
    keys = served.core.api_keys
    clients = [
        httpx.Client(
            base_url=served.url, timeout=120, headers={"Authorization": f"Bearer {keys.create(name, name, ('admin',))}"}
        )
        for name in ("acme", "rival")
    ]
    return Tenants(served, *clients)


def fill_more(settings: Settings, items: Changes) -> None:
    from kb.database import open_database
    from kb.knowledge_base import KnowledgeBase
    from kb.sql_store import SqlStore

    database = open_database(settings.state_url)
    base = KnowledgeBase.create(SqlStore(database), "rival", "shop", author="test")
    base.commit(items, author="test", message="Fill the rival's shop")
    database.dispose()


def chat(model: str, question: str = "Which supplier has the longest lead time?") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": question}]}


def test_no_tenant_reads_anothers_requests_proposals_or_assistants(tenants: Tenants) -> None:
    tenants.served.engine.enqueue("SELECT 1", "SELECT 1", "SELECT 1")
    answered = tenants.acme.post("/v1/chat/completions", json=chat("shop")).json()["kvasir"]
    request_id = answered["request_id"]
    assert tenants.acme.get(f"/v1/requests/{request_id}").status_code == 200
    assert tenants.rival.get(f"/v1/requests/{request_id}").status_code == 404
    assert tenants.rival.get("/v1/requests").json()["data"] == []
    assert tenants.rival.post(f"/v1/requests/{request_id}/confirm", json={"verdict": "success"}).status_code == 404
    proposal = tenants.acme.post(f"/v1/requests/{request_id}/confirm", json={"verdict": "success"}).json()
    assert tenants.rival.get("/v1/proposals").json()["data"] == []
    assert tenants.rival.get(f"/v1/proposals/{proposal['id']}").status_code == 404
    for what in ("approve", "reject", "revert"):
        assert tenants.rival.post(f"/v1/proposals/{proposal['id']}/{what}").status_code == 404
    assert [m["id"] for m in tenants.rival.get("/v1/models").json()["data"]] == ["rival"]
    assert tenants.rival.post("/v1/chat/completions", json=chat("shop")).status_code == 404


def test_no_tenants_knowledge_or_salt_reaches_anothers_prompt(tenants: Tenants) -> None:
    tenants.served.engine.enqueue("SELECT 1", "SELECT 1")
    tenants.acme.post("/v1/chat/completions", json=chat("shop"))
    tenants.rival.post("/v1/chat/completions", json=chat("rival"))
    acme, rival = tenants.served.engine.calls
    assert SECRET in acme.messages[0]["content"]
    assert SECRET not in rival.messages[0]["content"]
    assert (acme.cache_salt, rival.cache_salt) == ("acme", "rival")


def test_a_conversation_is_not_found_by_another_tenant(tenants: Tenants) -> None:
    tenants.served.engine.enqueue("SELECT 1", "SELECT 2")
    first = tenants.acme.post("/v1/chat/completions", json=chat("shop")).json()
    body = chat("rival")
    body["messages"] += [{"role": "assistant", "content": "SELECT 1"}, {"role": "user", "content": "And then?"}]
    second = tenants.rival.post("/v1/chat/completions", json=body).json()
    assert second["kvasir"]["session_id"] != first["kvasir"]["session_id"]
    assert SECRET not in str(tenants.served.engine.calls[-1].messages)


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic abc", "Bearer"])
def test_once_a_key_exists_nobody_gets_in_without_one(tenants: Tenants, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    response = httpx.get(f"{tenants.served.url}/v1/models", headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_role_is_needed_for_each_step(tenants: Tenants) -> None:
    key = tenants.served.core.api_keys.create("acme", "asker", ("ask",))
    with httpx.Client(base_url=tenants.served.url, timeout=120, headers={"Authorization": f"Bearer {key}"}) as asker:
        tenants.served.engine.enqueue("SELECT 1")
        request_id = asker.post("/v1/chat/completions", json=chat("shop")).json()["kvasir"]["request_id"]
        response = asker.post(f"/v1/requests/{request_id}/confirm", json={"verdict": "success"})
        assert response.status_code == 403
        assert "role 'confirm'" in response.json()["error"]["message"]
        for what in ("approve", "reject", "revert"):
            assert asker.post(f"/v1/proposals/prop_x/{what}").status_code == 403
        assert asker.get("/v1/requests").status_code == 403


def test_a_revoked_key_is_worthless_at_once(tenants: Tenants) -> None:
    keys = tenants.served.core.api_keys
    key = keys.create("acme", "leaver", ("ask",))
    (entry,) = (entry for entry in keys.list("acme") if entry.name == "leaver")
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{tenants.served.url}/v1/models", headers=headers).status_code == 200
    keys.revoke("acme", entry.id)
    assert httpx.get(f"{tenants.served.url}/v1/models", headers=headers).status_code == 401


def test_a_key_is_stored_as_its_hash_only(tenants: Tenants, settings: Settings) -> None:
    key = tenants.served.core.api_keys.create("acme", "someone", ("ask",))
    files = [path for path in settings.home.rglob("*") if path.is_file()]
    assert files
    assert all(key.encode() not in path.read_bytes() for path in files)


def test_without_keys_another_host_name_is_refused(serve: Callable[..., Any]) -> None:
    served = serve()
    response = served.client.get("/v1/models", headers={"Host": "evil.example"})
    assert response.status_code == 401
    assert "localhost only" in response.json()["error"]["message"]
