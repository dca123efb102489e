"""API keys: only a hash is kept, a revoked key is worthless, and no tenant reaches another's keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from gateway.api_keys import LOCAL, ApiKeys, Caller
from gateway.errors import BadRequest, Forbidden, NotFound, Unauthenticated
from gateway.tables import api_keys
from kb.database import open_database, upgrade


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/state.db" if request.param == "sqlite" else request.getfixturevalue("fresh_postgres")
    database = open_database(url)
    upgrade(database)
    yield database
    database.dispose()


@pytest.fixture
def keys(database: Engine) -> ApiKeys:
    return ApiKeys(database)


def test_a_key_gives_its_tenant_name_and_roles(keys: ApiKeys) -> None:
    key = keys.create("acme", "ann", ("ask", "confirm"))
    assert keys.authenticate(f"Bearer {key}") == Caller("acme", "ann", frozenset({"ask", "confirm"}))
    assert keys.authenticate(f"bearer  {key} ") == Caller("acme", "ann", frozenset({"ask", "confirm"}))


def test_the_key_itself_is_stored_nowhere(keys: ApiKeys, database: Engine) -> None:
    key = keys.create("acme", "ann", ("ask",))
    with database.connect() as connection:
        stored = [str(row) for row in connection.execute(select(api_keys))]
    assert len(stored) == 1
    assert key not in stored[0]
    assert key.removeprefix("kv-") not in stored[0]
    assert keys.create("acme", "ann", ("ask",)) != key


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer  ", "Basic x", "Bearer kv-wrong"])
def test_whoever_has_no_key_is_local_until_the_first_key_exists(keys: ApiKeys, header: str | None) -> None:
    assert keys.authenticate(header) is LOCAL
    keys.create("acme", "ann", ("ask",))
    with pytest.raises(Unauthenticated):
        keys.authenticate(header)


def test_a_revoked_key_is_refused_and_does_not_open_the_gateway_again(keys: ApiKeys) -> None:
    key = keys.create("acme", "ann", ("admin",))
    keys.revoke("acme", keys.list("acme")[0].id)
    for header in (f"Bearer {key}", None):
        with pytest.raises(Unauthenticated):
            keys.authenticate(header)
    assert [entry.revoked for entry in keys.list("acme")] == [True]


def test_a_tenant_neither_lists_nor_revokes_anothers_keys(keys: ApiKeys) -> None:
    key = keys.create("acme", "ann", ("ask",))
    assert keys.list("rival") == []
    with pytest.raises(NotFound, match="for tenant 'rival'"):
        keys.revoke("rival", keys.list("acme")[0].id)
    assert keys.authenticate(f"Bearer {key}").tenant == "acme"


@pytest.mark.parametrize("key_id", ["", "%", "____________", "0", "%%%%%%%%%%%%"])
def test_no_pattern_or_short_id_revokes_a_key(keys: ApiKeys, key_id: str) -> None:
    key = keys.create("acme", "ann", ("ask",))
    with pytest.raises(NotFound, match="kvasir key list"):
        keys.revoke("acme", key_id)
    assert keys.authenticate(f"Bearer {key}").name == "ann"


def test_a_role_that_is_none_is_refused(keys: ApiKeys) -> None:
    for roles in ((), ("god",)):
        with pytest.raises(BadRequest, match="ask, confirm, curate, admin"):
            keys.create("acme", "ann", roles)  # type: ignore[arg-type]
    assert not keys.any_exist()


def test_a_missing_role_is_named_and_an_admin_has_all() -> None:
    with pytest.raises(Forbidden, match="lacks the role 'confirm', which confirming needs"):
        Caller("acme", "ann", frozenset({"ask"})).require("confirm", "confirming")
    Caller("acme", "ann", frozenset({"admin"})).require("curate", "approving")
