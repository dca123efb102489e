"""The settings of an engine: one server, or several of the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from backend.address import without_credentials
from backend.engine import EngineConfig, replica_name
from gateway.errors import ConfigError
from gateway.settings_table import TENANT, Table


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and parts.path in ("", "/")
        )
    except ValueError:  # of a port that is no number
        return False


def _cache_address(url: SecretStr | None) -> SecretStr | None:
    if url is not None and not _is_address(url.get_secret_value()):
        raise ValueError("it must be an address without a path, such as http://127.0.0.1:8190")
    return url


CacheUrl = Annotated[SecretStr | None, AfterValidator(_cache_address)]


class ReplicaSettings(Table):
    """One of several servers of an engine's model. `cache_url` is its LMCache's, where it has its own."""

    api_base: str
    cache_url: CacheUrl = None

    @field_validator("api_base")
    @classmethod
    def _has_a_host(cls, api_base: str) -> str:
        try:
            found = urlsplit(api_base).scheme in ("http", "https") and bool(replica_name(api_base))
        except ValueError:  # of a port that is no number
            found = False
        if not found:
            raise ValueError("it must be a server's address, such as http://127.0.0.1:8100/v1")
        return api_base


class EngineSettings(Table):
    """Where tokens come from. `model` is LiteLLM's `provider/name`; docs/engines.md lists the kinds.

    `replicas` are several servers of the model, in the place of `api_base`; a `cache_url` here is for those that have
    none of their own.

    `cache_url` is where LMCache with Kvasir's policies answers, for a vLLM that uses it. `warm_seconds` is how long
    the prefixes of a commit may be warmed there, before it lands. `priorities` says that a vLLM schedules by priority.
    `pass_through` lists the tenants that may name the engine itself as `model`. `planner_blocks` is how many blocks
    the planner remembers for each tenant; with 0 there is none.
    """

    model: str = Field(min_length=1)
    path: str | None = None
    api_base: str | None = None
    api_key: SecretStr | None = None
    window_tokens: int | None = Field(None, gt=0)
    max_output_tokens: int = Field(512, gt=0)
    temperature: float = Field(0.0, ge=0, le=2)
    timeout_seconds: float = Field(120.0, gt=0)
    retries: int = Field(1, ge=0)
    lmcache: bool = False
    priorities: bool = False
    cache_url: CacheUrl = None
    replicas: tuple[ReplicaSettings, ...] = ()
    warm_seconds: float = Field(10.0, ge=0)
    prefix_cache_mb: int = Field(256, ge=0)
    planner_blocks: int = Field(0, ge=0)
    pass_through: tuple[Annotated[str, Field(pattern=TENANT)], ...] = ()

    @field_validator("model")
    @classmethod
    def _provider_is_named(cls, model: str) -> str:
        provider, _, name = model.partition("/")
        if not provider.strip() or not name.strip():
            raise ValueError(
                "it must be provider/name, such as hosted_vllm/my-model; docs/engines.md lists the providers"
            )
        return model

    @field_validator("replicas")
    @classmethod
    def _replicas_are_apart(cls, replicas: tuple[ReplicaSettings, ...]) -> tuple[ReplicaSettings, ...]:
        names = [replica_name(replica.api_base) for replica in replicas]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each must have a host and port of its own; {twice[0]} stands there twice")
        return replicas

    @property
    def cache_urls(self) -> dict[str, str]:
        """Addresses of caches by replica, with what may be secret in them; by "" where the engine has none.

        Those without a cache are left out.
        """
        found = {replica_name(one.api_base): one.cache_url or self.cache_url for one in self.replicas}
        found = found or {"": self.cache_url}
        return {name: url.get_secret_value() for name, url in found.items() if url is not None}


def check_engine(path: Path, name: str, engine: EngineSettings) -> None:
    """Raises `ConfigError` for what cannot go together in `[engines.NAME]` of the file `path`."""
    provider = EngineConfig(name, engine.model).provider
    if engine.cache_urls and provider != "hosted_vllm":
        raise ConfigError(
            f"{path}, engines.{name}.cache_url",
            without_credentials(next(iter(engine.cache_urls.values()))),
            f"'{engine.model}' has no LMCache; leave it out, or use a vLLM's server, hosted_vllm/…",
        )
    if engine.replicas and provider == "embedded":
        raise ConfigError(
            f"{path}, engines.{name}.replicas",
            ", ".join(without_credentials(replica.api_base) for replica in engine.replicas),
            f"'{engine.model}' is in the gateway's process; leave them out, or use servers, such as hosted_vllm/…",
        )
    if engine.replicas and engine.api_base is not None:
        raise ConfigError(
            f"{path}, engines.{name}.api_base",
            without_credentials(engine.api_base),
            "the engine has replicas, which have their own; leave one of both out",
        )
