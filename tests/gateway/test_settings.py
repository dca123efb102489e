"""Settings: what goes before what, and that each bad value is named with its place and the allowed form."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.core import engine_config
from gateway.errors import ConfigError
from gateway.settings import Settings, load_settings

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load settings from the given text of a kvasir.toml and variables."""
    for name in [name for name in os.environ if name.startswith("KVASIR_")]:
        monkeypatch.delenv(name)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def load(text: str = "", **variables: str) -> Settings:
        (tmp_path / "kvasir.toml").write_text(text)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return load_settings(tmp_path / "kvasir.toml")

    return load


ENGINE = '[engines.main]\nmodel = "openai/x"\napi_base = "http://file/v1"\napi_key = "sekret"\n'
VLLM = '[engines.v]\nmodel = "hosted_vllm/x"\napi_base = "http://file/v1"\n'
REPLICATED = '[engines.r]\nmodel = "hosted_vllm/x"\n'
REPLICA = '[[engines.r.replicas]]\napi_base = "http://10.0.0.1:8100/v1"\n'


def test_a_variable_goes_before_the_file_and_the_file_before_the_default(load: Load) -> None:
    assert load("").port == 8000
    assert load("port = 8001").port == 8001
    assert load("port = 8001", KVASIR_PORT="8002").port == 8002


def test_a_nested_variable_changes_one_field_of_a_table_and_leaves_the_others(load: Load) -> None:
    engine = load(ENGINE, KVASIR_ENGINES__MAIN__API_BASE="http://variable/v1").engines["main"]
    assert engine.api_base == "http://variable/v1"
    assert engine.model == "openai/x"


def test_the_home_that_a_command_was_given_goes_before_everything(load: Load, tmp_path: Path) -> None:
    load('home = "state"', KVASIR_HOME="variable")
    assert load_settings(tmp_path / "kvasir.toml", home=Path("given")).home == Path("given")


def test_paths_of_the_file_are_taken_from_its_folder(load: Load, tmp_path: Path) -> None:
    settings = load(
        'home = "state"\n[engines.m]\nmodel = "embedded/m"\npath = "models/m"\n'
        '[datasources.shop]\nurl = "sqlite:///shop.sqlite"\n[assistants.shop]\nkb = "shop"\nsuite = "suite.yaml"\n'
    )
    assert settings.home == tmp_path / "state"
    assert settings.state_url == f"sqlite:///{tmp_path}/state/kvasir.db"
    assert settings.engines["m"].path == str(tmp_path / "models/m")
    assert settings.datasources["shop"].url.get_secret_value() == f"sqlite:///{tmp_path}/shop.sqlite"
    assert settings.assistants["shop"].suite == str(tmp_path / "suite.yaml")


def test_the_default_home_is_beside_the_file_that_was_read(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load("").home == tmp_path / ".kvasir"
    assert load("", KVASIR_HOME="variable").home == Path("variable")
    monkeypatch.delenv("KVASIR_HOME")
    assert load_settings().home == Path(".kvasir"), "no file here, so the working directory"


def test_a_tilde_in_home_is_the_users_folder(load: Load) -> None:
    assert load('home = "~/kvasir"').home == Path.home() / "kvasir"


def test_without_a_file_the_defaults_hold(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings() == Settings()


def test_settings_are_frozen(load: Load) -> None:
    settings = load(ENGINE)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1
    with pytest.raises(ValidationError, match="frozen"):
        settings.engines["main"].model = "other"


BAD_FILES = [
    ("[engines\n", ("line 1", "TOML")),
    ("port = 8000\nhost = 127.0.0.1\n", ("line 2",)),
    ("prt = 3", (", prt:", "got 3", "did you mean 'port'?", "allowed: home, host, port")),
    ("port = 'x'", (", port:", "got 'x'", "integer")),
    ("port = 8000.5", (", port:", "got 8000.5", "integer")),
    ("port = true", (", port:", "got True", "must not be true or false")),
    ("port = 70000", (", port:", "got 70000", "65535")),
    ("host = ' '", (", host:", "127.0.0.1")),
    ("home = 3", (", home:", "got 3", "path")),
    ("engines = 3", (", engines:", "got 3", "table")),
    ("[engines.m]\napi_base = 'x'", (", engines.m.model:", "it is missing")),
    ("[engines.m]\nmodle = 'openai/x'", (", engines.m.modle:", "did you mean 'model'?")),
    ("[engines.m]\nmodel = ''", (", engines.m.model:", "at least 1 character")),
    ("[engines.m]\nmodel = 'gpt-4o'", (", engines.m.model:", "got 'gpt-4o'", "provider/name", "hosted_vllm/")),
    ("[engines.m]\nmodel = 'openai/'", (", engines.m.model:", "got 'openai/'", "provider/name")),
    ("[engines.m]\nmodel = '/x'", (", engines.m.model:", "got '/x'", "provider/name")),
    ("[engines.m]\nmodel = 'openai/x'\napi_bse = 'y'", (", engines.m.api_bse:", "did you mean 'api_base'?")),
    (
        "[engines.m]\nmodel = 'openai/x'\ntemperature = 5",
        (", engines.m.temperature:", "got 5", "less than or equal to 2"),
    ),
    (f"{VLLM}cache_url = '127.0.0.1:8190'", (", engines.v.cache_url:", "http://127.0.0.1:8190")),
    (f"{VLLM}cache_url = 'http://cache:port'", (", engines.v.cache_url:", "got 'http://cache:port'")),
    (f"{VLLM}cache_url = 'http://cache:8190/kvasir'", (", engines.v.cache_url:", "without a path")),
    (f"{VLLM}cache_url = 'http://ada:sekret@cache:port'", (", engines.v.cache_url:", "got 'http://…@cache:port'")),
    (f"{ENGINE}cache_url = 'http://a:sekret@cache'", (", engines.main.cache_url:", "got 'http://…@cache'")),
    (f"{VLLM}warm_seconds = -1", (", engines.v.warm_seconds:", "got -1")),
    (f"{REPLICATED}[[engines.r.replicas]]\napi_base = 'vllm:8100'", (", engines.r.replicas.0.api_base:", "/v1")),
    (
        f"{REPLICATED}{2 * REPLICA}",
        (", engines.r.replicas:", "host and port of its own", "10.0.0.1:8100 stands there twice"),
    ),
    (f"{REPLICATED}api_base = 'http://one/v1'\n{REPLICA}", (", engines.r.api_base:", "leave one of both out")),
    (
        f"{REPLICATED}api_base = 'http://ada:sekret@one/v1'\n{REPLICA}",
        (", engines.r.api_base:", "got 'http://…@one/v1'"),
    ),
    (
        f"{REPLICATED}[[engines.r.replicas]]\napi_base = 'http://a:sekret@/v1'",
        ("replicas.0.api_base:", "got 'http://…@/v1'"),
    ),
    (
        f"{REPLICATED}[[engines.r.replicas]]\ncache_url = 'http://cache:8190'",
        (", engines.r.replicas.0.api_base:", "it is missing"),
    ),
    (
        f"{REPLICATED}[[engines.r.replicas]]\napi_bas = 'http://one/v1'",
        (", engines.r.replicas.0.api_bas:", "did you mean 'api_base'?"),
    ),
    (
        f"{REPLICATED}{REPLICA}api_key = 'sekret'",
        (", engines.r.replicas.0.api_key: got '…'", "allowed: api_base, cache_url"),
    ),
    (
        f"{REPLICATED}{REPLICA}cache_url = 'http://cache/x'",
        (", engines.r.replicas.0.cache_url:", "without a path"),
    ),
    (
        f"[engines.e]\nmodel = 'embedded/kvasir-mini'\n{REPLICA.replace('.r.', '.e.')}",
        (", engines.e.replicas:", "in the gateway's process"),
    ),
    (
        f"[engines.o]\nmodel = 'openai/x'\n{REPLICA.replace('.r.', '.o.')}cache_url = 'http://cache:8190'",
        (", engines.o.cache_url:", "has no LMCache"),
    ),
    (f"{ENGINE}cache_url = 'http://cache:8190'", (", engines.main.cache_url:", "'openai/x' has no LMCache")),
    ("[assistants.a]\nkb = 'x'\nuse_case = 'chatt'", (", assistants.a.use_case:", "got 'chatt'", "'document'")),
    ("[assistants.a]\nkb = 'x'\nrepeats = 0", (", assistants.a.repeats:", "got 0")),
    ("[assistants.a]\nkb = 'x'\nengine = 'm'", (", assistants.a.engine:", "got 'm'", "known: none")),
    (f"{ENGINE}[assistants.a]\nkb = 'x'\nengine = 'mian'", (", assistants.a.engine:", "'mian'", "known: main")),
    ("[assistants.a]\nkb = 'x'\ndatasource = 'd'", (", assistants.a.datasource:", "got 'd'", "known: none")),
    ("[assistants.a]\nkb = 'x'\nbudgets = {schema = 9}", (", assistants.a.budgets:", "name one as engine")),
    (f"{ENGINE}[assistants.a]\nkb = 'x'\nengine = 'main'\nbudgets = {{tables = 9}}", ("a.budgets.tables", "'schema'")),
    (f"{ENGINE}[assistants.a]\nkb = 'x'\nengine = 'main'\nbudgets = {{rule = 0}}", ("a.budgets.rule", "got 0")),
    ("[assistant.a]\nkb = 'x'", (", assistant:", "did you mean 'assistants'?")),
    ("database_url = 'mysql://h/d'", (", database_url:", "postgresql://")),
]


@pytest.mark.parametrize(("text", "told"), BAD_FILES)
def test_a_bad_value_in_the_file_is_named_with_its_key(
    load: Load, tmp_path: Path, text: str, told: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    for part in (str(tmp_path / "kvasir.toml"), *told):
        assert part in str(caught.value)


BAD_VARIABLES = [
    ("KVASIR_PORT", "abc", ("got 'abc'", "integer")),
    ("KVASIR_PORT", "70000", ("got '70000'", "65535")),
    ("kvasir_port", "abc", ("got 'abc'",)),
    ("KVASIR_HOST", "", ("127.0.0.1",)),
    ("KVASIR_DATABASE_URL", "nonsense", ("sqlite:///PATH",)),
    ("KVASIR_DATABASE_URL", "postgresql://u:sekret@h:bad/d", ("postgresql://",)),
    ("KVASIR_ENGINES", "{bad", ("JSON", "KVASIR_ENGINES__MAIN__MODEL")),
    ("KVASIR_ENGINES__MAIN", "sekret", ("table",)),
    ("KVASIR_ENGINES__MAIN__API_BSE", "sekret", ("did you mean 'api_base'?",)),
    ("KVASIR_ENGINES__MAIN__RETRIES", "-1", ("got '-1'", "greater than or equal to 0")),
]


@pytest.mark.parametrize(("name", "value", "told"), BAD_VARIABLES)
def test_a_bad_variable_is_named_and_the_file_is_not_blamed(
    load: Load, name: str, value: str, told: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(ENGINE, **{name: value})
    assert str(caught.value).startswith(f"{name}: got ")
    for part in told:
        assert part in str(caught.value)


def test_replicas_have_a_cache_of_their_own_or_the_engines(load: Load) -> None:
    second = REPLICA.replace("0.1", "0.2") + 'cache_url = "http://10.0.0.2:8190"\n'
    settings = load(f'{REPLICATED}cache_url = "http://shared:8190"\n{REPLICA}{second}').engines["r"]
    assert settings.cache_urls == {"10.0.0.1:8100": "http://shared:8190", "10.0.0.2:8100": "http://10.0.0.2:8190"}
    config = engine_config("r", settings)
    assert config.replicas == ("http://10.0.0.1:8100/v1", "http://10.0.0.2:8100/v1")
    assert load(f'{VLLM}cache_url = "http://cache:8190"').engines["v"].cache_urls == {"": "http://cache:8190"}


def test_a_variable_that_begins_a_table_is_named_for_what_the_table_lacks(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("", KVASIR_ENGINES__MAIN__API_BASE="http://x/v1")
    assert str(caught.value).startswith("KVASIR_ENGINES__MAIN__MODEL: ")


def test_a_file_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_settings(tmp_path / "none.toml")
    monkeypatch.setenv("KVASIR_CONFIG", str(tmp_path / "other.toml"))
    with pytest.raises(ConfigError, match=r"other\.toml"):
        load_settings()


def test_a_file_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "kvasir.toml").write_bytes(b"home = '\xff'")
    with pytest.raises(ConfigError, match="readable UTF-8"):
        load_settings(tmp_path / "kvasir.toml")


@pytest.mark.parametrize(
    "text",
    [
        "[engines.main]\nmodel = 'openai/x'\napi_ky = 'sekret'",
        "[engines.main]\nmodel = 'openai/x'\napi_key = ['sekret']",
        "[engine.main]\nmodel = 'x'\napi_key = 'sekret'",
        "engines.main = 'sekret'",
        "[datasources.d]\nuri = 'postgresql://u:sekret@h/d'",
        "[datasources.d]\nurl = { password = 'sekret' }",
        "database_url = 'mysql://u:sekret@h/d'",
        "databse_url = 'postgresql://u:sekret@h/d'",
        f"{VLLM}cache_url = 'http://u:sekret@h/path'",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(load: Load, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert "sekret" not in str(caught.value)
    assert caught.value.__suppress_context__, "the cause would show what was given"


def test_secrets_stand_in_no_repr_or_text_of_the_settings(load: Load) -> None:
    settings = load(
        f"database_url = 'postgresql://u:sekret@h/d'\n{ENGINE}[datasources.d]\nurl = 'postgresql://u:sekret@h/d'\n"
        f"{VLLM}cache_url = 'http://u:sekret@h'"
    )
    assert settings.engines["main"].api_key is not None
    assert settings.engines["main"].api_key.get_secret_value() == "sekret"
    for shown in (repr(settings), str(settings), repr(settings.engines), settings.model_dump_json()):
        assert "sekret" not in shown


def test_the_upgrade_command_names_the_file_and_the_home_where_they_are_not_the_usual_ones(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("", "home = 'state'"):
        assert load(text).upgrade_command == "kvasir init --config ../kvasir.toml"
    given = load_settings(tmp_path / "kvasir.toml", home=Path("my state"))
    assert given.upgrade_command == "kvasir init --config ../kvasir.toml --home 'my state'"
    assert load("", KVASIR_HOME="x").upgrade_command == "kvasir init --config ../kvasir.toml --home x"
    monkeypatch.delenv("KVASIR_HOME")
    assert load_settings(home=Path("x")).upgrade_command == "kvasir init --home x"
    assert load_settings().upgrade_command == "kvasir init"
    monkeypatch.chdir(tmp_path)
    assert load("home = 'state'").upgrade_command == "kvasir init"
    monkeypatch.setenv("KVASIR_CONFIG", "elsewhere.toml")
    assert load("home = 'state'").upgrade_command == "kvasir init --config kvasir.toml"


def test_the_upgrade_command_names_no_home_where_the_database_has_a_url(load: Load, tmp_path: Path) -> None:
    load("database_url = 'postgresql://h/d'")
    given = load_settings(tmp_path / "kvasir.toml", home=Path("x"))
    assert given.upgrade_command == "kvasir init --config ../kvasir.toml"
