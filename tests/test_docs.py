"""The documents agree with the code and with each other: the example configuration loads, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway import wire
from gateway.errors import ConfigError
from gateway.http_errors import _STATUS
from gateway.item_text import item_text
from gateway.settings import AssistantSettings, DatasourceSettings, EngineSettings, Settings, load_settings
from gateway.traces import Trace
from kb.item_file import read_item, write_item
from kb.items import KINDS, Column, Item, Schema
from kb.masking import mask
from kb.name_index import entities_of
from kb.same_question import same_question

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
NOT_OURS = {".venv", ".venv-engine", ".kvasir", ".git", "node_modules", "build", "dist"}
TABLES = {"engines": EngineSettings, "datasources": DatasourceSettings, "assistants": AssistantSettings}

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(?P<marks>```+|~~~+).*?^(?P=marks)[ \t]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+\s+(.*?)\s*$", re.MULTILINE)


def documents() -> list[Path]:
    found = (path for path in ROOT.rglob("*.md") if not NOT_OURS.intersection(path.relative_to(ROOT).parts))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts[:-1]))


def whole_file() -> str:
    """The one TOML block of docs/configuration.md."""
    (block,) = re.findall(r"```toml\n(.*?)```", (DOCS / "configuration.md").read_text(), re.DOTALL)
    return str(block)


@pytest.fixture
def _no_kvasir_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("KVASIR_"):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("_no_kvasir_environment")
def test_the_whole_file_of_the_configuration_page_loads(tmp_path: Path) -> None:
    config = tmp_path / "kvasir.toml"
    config.write_text(whole_file())
    settings = load_settings(config)
    assert settings.home == tmp_path / ".kvasir"
    assert settings.engines["small"].path == str(tmp_path / "models/my-small-model")
    assert settings.assistants["analyst"].engine == "main"


@pytest.mark.usefixtures("_no_kvasir_environment")
def test_the_configuration_page_shows_every_setting() -> None:
    shown = tomllib.loads(whole_file().replace("# commit =", "commit ="))
    assert set(shown) == set(Settings.model_fields)
    for table, model in TABLES.items():
        given = {key for entry in shown[table].values() for key in entry}
        assert given == set(model.model_fields), table


@pytest.mark.usefixtures("_no_kvasir_environment")
def test_the_defaults_that_the_configuration_page_shows_are_the_defaults() -> None:
    shown = tomllib.loads(whole_file())
    # Shown with another value, the default beside it.
    told_otherwise = {"lmcache", "priorities", "budgets", "pass_through", "replicas"}
    for table, model in TABLES.items():
        for entry in shown[table].values():
            for key, value in entry.items():
                default = model.model_fields[key].default
                if not model.model_fields[key].is_required() and default is not None and key not in told_otherwise:
                    assert value == default, f"{table}: {key}"
    for key in ("host", "port", "embedding_model"):
        assert shown[key] == Settings.model_fields[key].default


@pytest.mark.usefixtures("_no_kvasir_environment")
@pytest.mark.parametrize(
    ("file", "environment"),
    [
        ('[assistants.shop]\nkb = "shop"\nverified_answer = true\n', {}),
        ('[assistants.shop]\nbranch = "main"\n', {}),
        ('[assistants.shop]\nkb = "shop"\napproval = "auto"\n', {}),
        ('[assistants.shop]\nkb = "shop"\nengine = "main"\n', {}),
        ("port = 8000\n", {"KVASIR_PORT": "80000"}),
    ],
)
def test_the_errors_on_the_configuration_page_are_those_that_the_code_gives(
    file: str, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kvasir.toml").write_text(file)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert f"error: {caught.value}\n" in (DOCS / "configuration.md").read_text()


@pytest.mark.usefixtures("_no_kvasir_environment")
def test_the_settings_of_the_container_load_with_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVASIR_DATABASE_URL", "postgresql://kvasir:a@postgres:5432/kvasir")
    monkeypatch.setenv("KVASIR_DATASOURCES__DATA__URL", "postgresql://reader:b@postgres:5432/data")
    settings = load_settings(ROOT / "deploy" / "kvasir.toml")
    assert settings.state_url == "postgresql://kvasir:a@postgres:5432/kvasir"
    assert settings.datasources["data"].url.get_secret_value() == "postgresql://reader:b@postgres:5432/data"
    assert settings.datasources["data"].max_rows == 1000


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(document: Path) -> None:
    broken = [link for link in _links(document) if not _resolves(document, link)]
    assert not broken


def api_examples() -> list[dict[str, Any]]:
    return [
        json.loads(block)
        for block in re.findall(r"^```json\n(.*?)^```$", (DOCS / "api.md").read_text(), re.DOTALL | re.MULTILINE)
    ]


def test_the_examples_of_the_api_page_have_the_fields_that_the_code_gives() -> None:
    trace = Trace("req_1", "default", "", "shop", "shop", "c", "ses_1", "", "answered", (), "", (), (), "")
    completion, full = (
        next(example for example in api_examples() if example.get("object") == name)
        for name in ("chat.completion", "kvasir.request")
    )
    assert completion["kvasir"].keys() == wire.kvasir_object(trace).keys()
    assert full.keys() == wire.full_trace(trace).keys()
    listed = set(re.findall(r"`(\w+)`", (DOCS / "api.md").read_text()))
    assert wire.kvasir_object(trace).keys() <= listed


def test_the_api_page_lists_every_error_code() -> None:
    page = (DOCS / "api.md").read_text()
    missing = [(status, code) for _, status, _, code in _STATUS if f"| {status} | `{code}` |" not in page]
    assert not missing


def test_the_knowledge_page_shows_a_true_file_of_every_kind() -> None:
    page = (DOCS / "knowledge.md").read_text()
    shown = dict(re.findall(r"^`(\w+/[\w.=+-]+\.md)`:\n\n````markdown\n(.*?)````$", page, re.MULTILINE | re.DOTALL))
    assert {file.partition("/")[0] for file in shown} == set(KINDS)
    for kind in KINDS:
        (file, text) = next((file, text) for file, text in shown.items() if file.startswith(f"{kind}/"))
        item = read_item(file, kind, text)
        assert file == f"{kind}/{item.id.partition(':')[2]}.md"
        assert write_item(item) == text
        assert item_text(item)


def test_the_knowledge_page_tells_truly_which_questions_are_the_same() -> None:
    orders = Schema("orders", (Column("state", "TEXT", samples=("cancelled", "paid")), Column("created_at", "TEXT")))
    customers = Schema("customers", (Column("country", "TEXT", samples=("DE", "FR")),))
    names = entities_of([Item(f"schema:{body.table}", body.table, body) for body in (orders, customers)])
    page = (DOCS / "knowledge.md").read_text()
    rows = re.findall(r"^\| (.+\?) \| (.+\?) \| (.+) \|$", page, re.MULTILINE)
    assert len(rows) > 3
    for asked, confirmed, told in rows:
        found = same_question(mask(asked, names.find(asked)), mask(confirmed, names.find(confirmed)))
        assert found == (told == "the same"), asked


def _links(document: Path) -> list[str]:
    links = _LINK.findall(_FENCE.sub("", document.read_text()))
    return [link for link in links if not re.match(r"[a-z][a-z0-9+.-]*:", link)]


def _resolves(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or target.suffix != ".md" or anchor in _anchors(target)


def _anchors(document: Path) -> set[str]:
    """Headings as the anchors that Git hosts make of them."""
    headings = _HEADING.findall(_FENCE.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
