"""Settings: `kvasir.toml`, overridden by `KVASIR_*`, read once and frozen. A bad value stops the start.

Nested names join with two underscores: `KVASIR_ENGINES__MAIN__API_BASE` overrides `api_base` under `[engines.main]`.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from backend.address import without_credentials
from backend.engine import EngineConfig
from backend.tiers.use_case import UseCase
from gateway.engine_settings import EngineSettings as EngineSettings
from gateway.engine_settings import ReplicaSettings as ReplicaSettings
from gateway.engine_settings import check_engine
from gateway.errors import ConfigError
from gateway.prompt import DEFAULT_INSTRUCTIONS
from gateway.settings_table import TENANT, Table, checked_number
from kb.items import Kind

CONFIG_FILE = "kvasir.toml"
HOME = Path(".kvasir")
STATE_DRIVERS = ("sqlite", "postgresql", "postgresql+psycopg")
Approval = Literal["automatic", "curator", "second"]
Decoding = Literal["free", "sql"]


class DatasourceSettings(Table):
    """A database that answers are checked against, read-only."""

    url: SecretStr
    max_rows: int = Field(1000, gt=0)
    timeout_seconds: float = Field(10.0, gt=0)
    max_memory_mb: int = Field(512, ge=64)


class AssistantSettings(Table):
    """What the API's `model` selects.

    `verified_answers`: a confirmed answer of the same question may answer without the engine; `template_answers`: one
    about other values, too, with the question's values in its statement. `approval`: whether a
    proposal with a clean verdict lands by itself, waits for a curator, or for one who is not who confirmed it.
    `suite`: cases replayed before it lands. `budgets`: the most tokens that one question retrieves of a kind.
    `decoding`: with `sql`, an answer is one SELECT over the tables that its prompt shows, as far as it goes.
    """

    kb: str
    tenant: str = Field("default", pattern=TENANT)
    branch: str = "main"
    commit: str | None = None
    engine: str | None = None
    datasource: str | None = None
    use_case: UseCase = "chat"
    instructions: str = DEFAULT_INSTRUCTIONS
    decoding: Decoding = "free"
    verified_answers: bool = False
    template_answers: bool = False
    approval: Approval = "automatic"
    suite: str | None = None
    repeats: int = Field(1, ge=1, le=20)
    budgets: dict[Kind, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)


class Settings(BaseSettings):
    """All of it. `home` holds Kvasir's state, by default `.kvasir` beside the file, if one was read.

    `session_days`: how long a conversation that is not carried on is remembered.
    Relative paths of the file are taken from its folder.
    """

    model_config = SettingsConfigDict(
        env_prefix="KVASIR_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    _file: Path | None = PrivateAttr(None)
    """The file that was read, if one was."""
    _usual_home: Path = PrivateAttr(HOME)
    """The home where neither an option nor a variable names one."""

    home: Path = HOME
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    database_url: SecretStr | None = None
    embedding_model: str = "all-MiniLM-L6-v2"
    session_days: int = Field(30, ge=1, le=3650)
    engines: dict[str, EngineSettings] = Field(default_factory=dict)
    datasources: dict[str, DatasourceSettings] = Field(default_factory=dict)
    assistants: dict[str, AssistantSettings] = Field(default_factory=dict)

    _numbers = field_validator("*", mode="before")(classmethod(checked_number))

    @field_validator("host")
    @classmethod
    def _host_is_given(cls, host: str) -> str:
        if not host.strip():
            raise ValueError("an address such as 127.0.0.1 is needed")
        return host

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, url: SecretStr | None) -> SecretStr | None:
        try:
            known = url is None or make_url(url.get_secret_value()).drivername in STATE_DRIVERS
        except (ArgumentError, ValueError):
            known = False
        if not known:
            raise ValueError("use sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        return url

    @property
    def state_url(self) -> str:
        """The state database, by default a SQLite file in `home`."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{(self.home / 'kvasir.db').absolute()}"

    @property
    def upgrade_command(self) -> str:
        """What brings the state database of these settings up to date, to paste into a shell."""
        words = ["kvasir", "init"]
        if self._file is not None and (_CONFIG in os.environ or self._file.absolute() != Path(CONFIG_FILE).absolute()):
            words += ["--config", os.path.relpath(self._file)]
        if self.database_url is None and self.home.absolute() != self._usual_home.absolute():
            words += ["--home", os.path.relpath(self.home)]
        return shlex.join(words)

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


_PREFIX = "KVASIR_"
_CONFIG = "KVASIR_CONFIG"
_GROUPS: dict[str, type[BaseModel]] = {
    "engines": EngineSettings,
    "datasources": DatasourceSettings,
    "assistants": AssistantSettings,
}
_SECRETS = ("api_key", "url", "database_url")


def load_settings(config: Path | None = None, *, home: Path | None = None) -> Settings:
    """Read `config` (default: `KVASIR_CONFIG`, else `kvasir.toml` if it is there). Raises `ConfigError`.

    `home`, where given, goes before both the file and the environment.
    """
    path = config or Path(os.environ.get(_CONFIG, CONFIG_FILE))
    explicit = config is not None or _CONFIG in os.environ
    found = _read_toml(path, explicit)
    # A file's own folder is also where its state is, so that the same file means the same state from anywhere.
    table = {} if found is None else {"home": str(HOME), **found}
    try:
        settings = Settings(**_with_absolute_paths(table, path.absolute().parent))
    except ValidationError as exc:
        # Without the cause, which shows what was given: that may be a key in the wrong place.
        raise _config_error(path, table, exc) from None
    except SettingsError as exc:
        raise _unparsed_variable(exc) from exc
    if found is not None:
        settings._file, settings._usual_home = path, table["home"]
    if home is not None:
        settings = settings.model_copy(update={"home": home})
    _check_references(path, settings)
    return settings


def hint_without_file(config: Path | None) -> str | None:
    """The next step where something is not configured because no file was found; `None` where there is one."""
    if config is not None or _CONFIG in os.environ or Path(CONFIG_FILE).exists():
        return None
    return f"no {CONFIG_FILE} is in this folder: if you have one, name it with --config, or go where it lies"


def _read_toml(path: Path, explicit: bool) -> dict[str, Any] | None:
    """What the file holds; `None` where no file was asked for and none is there."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        if explicit:
            raise ConfigError(str(path), "no such file", "give an existing file in --config or KVASIR_CONFIG") from exc
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(str(path), str(exc), "it must be a readable UTF-8 file") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(str(path), str(exc), "mend the TOML there; docs/configuration.md shows a whole file") from exc


def _with_absolute_paths(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths in the file are relative to it, so that Kvasir starts the same from any working directory."""
    if isinstance(table.get("home"), str):
        table["home"] = folder / Path(table["home"]).expanduser()
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


def _config_error(path: Path, table: dict[str, Any], exc: ValidationError) -> ConfigError:
    errors = exc.errors(include_url=False)
    # A name that nobody knows first: what is missing beside it is most likely that, misspelled.
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    place = tuple(str(part) for part in first["loc"])
    setting = _variable(place) or f"{path}, {'.'.join(place)}"
    value = _shown(place, first["type"], first.get("input"))
    if first["type"] == "extra_forbidden":
        allowed = _fields_at(place[:-1])
        near = get_close_matches(place[-1], allowed, 1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        return ConfigError(setting, value, f"there is no such setting{hint}; allowed: {', '.join(allowed)}")
    if first["type"] == "missing":
        if _given(table, place[:-1]) is None:
            # No table of the file: a variable that sets another of its fields brought it into being.
            setting = _PREFIX + "__".join(place).upper()
        return ConfigError(setting, None, "it is missing; add it (docs/configuration.md shows a whole file)")
    return ConfigError(setting, value, _allowed_form(first["type"], first["msg"]))


def _variable(place: tuple[str, ...]) -> str | None:
    """The variable that gives the setting at `place`; their case does not matter."""
    wanted = _PREFIX + "__".join(place).upper()
    return next((name for name in os.environ if name.upper() == wanted), None)


def _given(table: dict[str, Any], place: tuple[str, ...]) -> Any:
    found: Any = table
    for part in place:
        entries = {str(number): entry for number, entry in enumerate(found)} if isinstance(found, list) else found
        found = entries.get(part) if isinstance(entries, dict) else None
    return found


def _shown(place: tuple[str, ...], problem: str, value: object) -> object:
    """What an error says was given. Text is shown where it cannot be a key or a password: in a known, open field."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    if not isinstance(value, (str, bytes, SecretStr)):
        return value
    known = problem != "extra_forbidden" and place[-1] in _fields_at(place[:-1])
    if known and place[-1] in ("api_base", "cache_url"):
        return without_credentials(str(value))
    return value if known and place[-1] not in _SECRETS and place[-1] not in _GROUPS else "…"


def _allowed_form(problem: str, message: str) -> str:
    if problem in ("dict_type", "model_type", "model_attributes_type"):
        return "it must be a table, such as [engines.main]"
    if problem == "path_type":
        return "it must be a path in quotes"
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _unparsed_variable(exc: SettingsError) -> ConfigError:
    """A group of tables that a variable gives as JSON, which is none. What it holds may be secret."""
    names = [name for group in _GROUPS if (name := _variable((group,))) and f'"{group}"' in str(exc)]
    problem = exc.__cause__ or exc
    allowed = f"it must be JSON ({problem}); {_PREFIX}ENGINES__MAIN__MODEL sets one field of one table"
    return ConfigError(names[0] if names else f"{_PREFIX}*", "…", allowed)


def _fields_at(place: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = _GROUPS.get(place[0], Settings) if place else Settings
    return list((ReplicaSettings if "replicas" in place[2:] else model).model_fields)


def _check_references(path: Path, settings: Settings) -> None:
    for name, engine in settings.engines.items():
        check_engine(path, name, engine)
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
        if assistant.budgets and assistant.engine is None:
            raise ConfigError(
                f"{path}, assistants.{name}.budgets",
                assistant.budgets,
                "budgets are in tokens of the assistant's engine, and it has none; name one as engine",
            )
        if assistant.decoding == "sql" and assistant.engine is not None:
            model = settings.engines[assistant.engine].model
            if not EngineConfig(assistant.engine, model).takes_grammar:
                raise ConfigError(
                    f"{path}, assistants.{name}.decoding",
                    "sql",
                    f"engine '{assistant.engine}' ({model}) takes no grammar; use 'free', or an engine whose model is "
                    "embedded/… or hosted_vllm/…",
                )
