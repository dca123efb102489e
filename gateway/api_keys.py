"""API keys: who may do what for which tenant. Only a key's hash is stored; the key is shown once."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from sqlalchemy import Engine, insert, select, update

from gateway.errors import BadRequest, Forbidden, NotFound, Unauthenticated
from gateway.settings_table import TENANT
from gateway.tables import api_keys
from kb.database import transaction

Role = Literal["ask", "confirm", "curate", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call. `name` is the key's name, or `local` on a loopback server without keys."""

    tenant: str
    name: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        """An admin may do everything within the tenant."""
        return role in self.roles or "admin" in self.roles

    def require(self, role: Role, needed_for: str) -> None:
        """Raises `Forbidden`."""
        if not self.may(role):
            raise Forbidden(role, needed_for)


LOCAL = Caller("default", "local", frozenset(ROLES))
"""Whoever reaches a loopback server on which no key exists."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`id` is the start of the key's hash."""

    id: str
    tenant: str
    name: str
    roles: tuple[Role, ...]
    created_at: str
    revoked: bool


class ApiKeys:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, tenant: str, name: str, roles: tuple[Role, ...]) -> str:
        """A new key, which cannot be shown again. Raises `BadRequest` for an unknown role or an unusable tenant."""
        unknown = [role for role in roles if role not in ROLES]
        if unknown or not roles:
            raise BadRequest(f"roles {list(roles)}: give at least one of {', '.join(ROLES)}", "roles")
        if not 0 < len(name.strip()) <= 100:
            raise BadRequest(f"name {name!r}: take 1 to 100 characters; it stands as author in the history", "name")
        if not re.fullmatch(TENANT, tenant):
            raise BadRequest(f"tenant {tenant!r}: take 1 to 64 letters, digits and . _ -", "tenant")
        key = f"kv-{secrets.token_urlsafe(32)}"
        row = {
            "key_hash": _hash(key),
            "tenant": tenant,
            "name": name,
            "roles": list(roles),
            "created_at": datetime.now(UTC).isoformat(),
            "revoked": False,
        }
        with transaction(self._engine) as connection:
            connection.execute(insert(api_keys).values(**row))
        return key

    def list(self, tenant: str) -> list[ApiKey]:
        query = select(api_keys).where(api_keys.c.tenant == tenant).order_by(api_keys.c.created_at)
        with self._engine.connect() as connection:
            return [
                ApiKey(row.key_hash[:12], row.tenant, row.name, tuple(row.roles), row.created_at, row.revoked)
                for row in connection.execute(query)
            ]

    def revoke(self, tenant: str, key_id: str) -> None:
        """Raises `NotFound` unless `key_id` (12 digits or more) is one of the tenant's keys."""
        matching = (api_keys.c.tenant == tenant) & api_keys.c.key_hash.startswith(key_id, autoescape=True)
        with transaction(self._engine) as connection:
            if (
                len(key_id) < 12
                or connection.execute(update(api_keys).where(matching).values(revoked=True)).rowcount != 1
            ):
                raise NotFound(f"API key '{key_id}' not found for tenant '{tenant}'; list them with 'kvasir key list'")

    def any_exist(self) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(select(api_keys.c.key_hash).limit(1)).first() is not None

    def authenticate(self, authorization: str | None) -> Caller:
        """Who holds the bearer token of an `Authorization` header. Raises `Unauthenticated`."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            if self.any_exist():
                raise Unauthenticated("an API key is needed: send it as 'Authorization: Bearer KEY'")
            return LOCAL
        query = select(api_keys).where(api_keys.c.key_hash == _hash(key.strip()))
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None and not self.any_exist():
            return LOCAL
        if row is None or row.revoked:
            raise Unauthenticated("this API key is not known or was revoked; ask an admin for another")
        return Caller(row.tenant, row.name, frozenset(row.roles))


def _hash(key: str) -> str:
    return hashlib.sha256(b"kvasir key 1\n" + key.encode()).hexdigest()
