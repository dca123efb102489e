"""Settings: `kvasir.toml`, overridden by `KVASIR_*`, read once and frozen. A bad value stops the start.

Nested names join with two underscores: `KVASIR_ENGINES__MAIN__API_BASE` overrides `api_base` under `[engines.main]`.
"""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.errors import ConfigError

CONFIG_FILE = "kvasir.toml"
UseCase = Literal["chat", "document", "code", "batch"]
Approval = Literal["automatic", "curator"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineSettings(_Table):
    """Where tokens come from. `model` is LiteLLM's name for it; docs/engines.md lists the kinds."""

    model: str
    path: str | None = None
    api_base: str | None = None
    api_key: SecretStr | None = None
    window_tokens: int | None = Field(None, gt=0)
    max_output_tokens: int = Field(512, gt=0)
    temperature: float = Field(0.0, ge=0, le=2)
    timeout_seconds: float = Field(120.0, gt=0)
    retries: int = Field(1, ge=0)
    lmcache: bool = False


class DatasourceSettings(_Table):
    """A database that answers are checked against, read-only."""

    url: SecretStr
    max_rows: int = Field(1000, gt=0)
    timeout_seconds: float = Field(10.0, gt=0)
    max_memory_mb: int = Field(512, ge=64)


class AssistantSettings(_Table):
    """What the API's `model` selects.

    `verified_answers`: a confirmed answer of the same question may answer without the engine. `approval`: whether a
    proposal with a clean verdict lands by itself or waits for a curator. `suite`: cases replayed before it lands.
    """

    kb: str
    tenant: str = "default"
    branch: str = "main"
    commit: str | None = None
    engine: str | None = None
    datasource: str | None = None
    use_case: UseCase = "chat"
    instructions: str = "Answer the question with one SQL query. Use only what the knowledge below says."
    verified_answers: bool = False
    approval: Approval = "automatic"
    suite: str | None = None
    repeats: int = Field(1, ge=1, le=20)


class Settings(BaseSettings):
    """All of it. `home` holds Kvasir's state; relative paths are taken from the folder of `kvasir.toml`."""

    model_config = SettingsConfigDict(
        env_prefix="KVASIR_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    home: Path = Path(".kvasir")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    database_url: SecretStr | None = None
    embedding_model: str = "all-MiniLM-L6-v2"
    engines: dict[str, EngineSettings] = Field(default_factory=dict)
    datasources: dict[str, DatasourceSettings] = Field(default_factory=dict)
    assistants: dict[str, AssistantSettings] = Field(default_factory=dict)

    @field_validator("host")
    @classmethod
    def _host_is_given(cls, host: str) -> str:
        if not host.strip():
            raise ValueError("an address such as 127.0.0.1 is needed")
        return host

    @property
    def state_url(self) -> str:
        """The state database, by default a SQLite file in `home`."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{(self.home / 'kvasir.db').absolute()}"

    @property
    def upgrade_command(self) -> str:
        """What brings the state database of these settings up to date, to paste into a shell."""
        default = self.database_url is not None or self.home.absolute() == Path(".kvasir").absolute()
        return "kvasir init" if default else f"kvasir init --home {os.path.relpath(self.home)}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # What the file says comes in as init settings, and the environment goes before it.
        return env_settings, init_settings


def load_settings(config: Path | None = None, *, home: Path | None = None) -> Settings:
    """Read `config` (default: `KVASIR_CONFIG`, else `kvasir.toml` if it is there). Raises `ConfigError`.

    `home`, where given, goes before both the file and the environment.
    """
    path = config or Path(os.environ.get("KVASIR_CONFIG", CONFIG_FILE))
    explicit = config is not None or "KVASIR_CONFIG" in os.environ
    table = _read_toml(path, explicit)
    try:
        settings = Settings(**_with_absolute_paths(table, path.absolute().parent))
    except ValidationError as exc:
        raise _config_error(path, exc) from exc
    if home is not None:
        settings = settings.model_copy(update={"home": home})
    _check_references(path, settings)
    return settings


def _read_toml(path: Path, explicit: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        if explicit:
            raise ConfigError(str(path), "no such file", "give an existing file in --config or KVASIR_CONFIG") from exc
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(str(path), str(exc), "it must be a readable UTF-8 file") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(str(path), str(exc), "mend the TOML there; docs/configuration.md shows a whole file") from exc


def _with_absolute_paths(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths in the file are relative to it, so that Kvasir starts the same from any working directory."""
    if isinstance(table.get("home"), str):
        table["home"] = folder / table["home"]
    if isinstance(table.get("database_url"), str):
        table["database_url"] = _absolute_url(table["database_url"], folder)
    for group, key in (("engines", "path"), ("assistants", "suite")):
        for entry in _tables(table, group):
            if isinstance(entry.get(key), str):
                entry[key] = str(folder / entry[key])
    for entry in _tables(table, "datasources"):
        if isinstance(entry.get("url"), str):
            entry["url"] = _absolute_url(entry["url"], folder)
    return table


def _tables(table: dict[str, Any], group: str) -> list[dict[str, Any]]:
    entries = table.get(group)
    return [entry for entry in entries.values() if isinstance(entry, dict)] if isinstance(entries, dict) else []


def _absolute_url(url: str, folder: Path) -> str:
    prefix = "sqlite:///"
    path = url.removeprefix(prefix)
    if not url.startswith(prefix) or path.startswith("/") or path in ("", ":memory:"):
        return url
    return f"{prefix}{folder / path}"


def _config_error(path: Path, exc: ValidationError) -> ConfigError:
    first = exc.errors(include_url=False)[0]
    place = tuple(str(part) for part in first["loc"])
    variable = "KVASIR_" + "__".join(place).upper()
    setting = variable if variable in os.environ else f"{path}, {'.'.join(place)}"
    value = "…" if "secret" in first["msg"].lower() else first.get("input")
    if first["type"] == "extra_forbidden":
        allowed = _fields_at(place[:-1])
        near = get_close_matches(place[-1], allowed, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return ConfigError(setting, value, f"there is no such setting{hint} Allowed: {', '.join(allowed)}")
    if first["type"] == "missing":
        return ConfigError(setting, None, "it is missing; add it (docs/configuration.md shows a whole file)")
    return ConfigError(setting, value, first["msg"][0].lower() + first["msg"][1:])


def _fields_at(place: tuple[str, ...]) -> list[str]:
    groups: dict[str, type[BaseModel]] = {
        "engines": EngineSettings,
        "datasources": DatasourceSettings,
        "assistants": AssistantSettings,
    }
    model: type[BaseModel] = groups.get(place[0], Settings) if place else Settings
    return list(model.model_fields)


def _check_references(path: Path, settings: Settings) -> None:
    for name, assistant in settings.assistants.items():
        for key, wanted, known in (
            ("engine", assistant.engine, settings.engines),
            ("datasource", assistant.datasource, settings.datasources),
        ):
            if wanted is not None and wanted not in known:
                listed = ", ".join(known) or "none"
                raise ConfigError(
                    f"{path}, assistants.{name}.{key}",
                    wanted,
                    f"no [{key}s.{wanted}] is configured (known: {listed}); add it or name a known one",
                )
