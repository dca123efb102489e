"""`kvasir eval`, from arguments to exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from junitparser import JUnitXml

from evals.cli import group
from kb.embedding import SentenceEmbedder
from kb.knowledge_base import Changes

from .conftest import OpenShop, Shop, gotcha, success

QUESTION = "How many orders placed in 2025 were cancelled?"
SQL = "SELECT count(*) FROM orders WHERE state = 'cancelled'"
SUITE = f"""\
suite: shop
assistant: shop
cases:
  - id: tables
    question: {QUESTION}
    expect:
      - retrieves: schema:orders
"""
ASKS = f'{SUITE}      - sql_result: {{sql: "{SQL}"}}\n'


@pytest.fixture
def configured(
    open_shop: OpenShop, shop_database: Path, monkeypatch: pytest.MonkeyPatch, embedder: SentenceEmbedder
) -> Shop:
    """A shop with a kvasir.toml: an assistant of verified answers alone, without an engine."""
    shop = open_shop(with_engine=False)
    (shop.folder / "kvasir.toml").write_text(
        f'home = "home"\n[datasources.shop]\nurl = "sqlite:///{shop_database}"\n'
        '[assistants.shop]\nkb = "shop"\ndatasource = "shop"\nverified_answers = true\n'
    )
    # Loading the model again for every command takes seconds.
    monkeypatch.setattr("gateway.core.SentenceEmbedder", lambda _model: embedder)
    return shop


def invoke(shop: Shop, *arguments: str) -> Result:
    return CliRunner().invoke(group, [*arguments, "--config", str(shop.folder / "kvasir.toml")])


def test_a_run_that_passes_exits_0_and_keeps_progress_off_stdout(configured: Shop) -> None:
    result = invoke(configured, "run", str(configured.suite(SUITE)), "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["cases"][0]["status"] == "passed"
    assert "[1/1] passed    tables" in result.stderr


def test_without_a_file_of_settings_it_is_told_how_to_name_one(
    configured: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = str(configured.suite(SUITE).absolute())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for home in ("none", str(configured.folder / "home")):
        result = CliRunner().invoke(group, ["run", suite, "--home", home])
        assert result.exit_code == 2
        assert "no kvasir.toml is in this folder: if you have one, name it with --config" in result.stderr
    assert "no kvasir.toml" not in invoke(configured, "bless", "0").stderr


def test_a_run_with_a_failed_case_exits_1_and_writes_junit(configured: Shop) -> None:
    configured.learn(success("wrong", QUESTION, "SELECT 1"))
    junit = configured.folder / "reports" / "run.xml"

    result = invoke(configured, "run", str(configured.suite(ASKS)), "--junit", str(junit))

    assert result.exit_code == 1, result.output
    assert "SINGLE_CELL_DIFFERENCE" in result.stdout
    assert JUnitXml.fromfile(str(junit)).failures == 1


def test_a_run_that_could_not_judge_a_case_exits_3(configured: Shop) -> None:
    result = invoke(configured, "run", str(configured.suite(ASKS)))

    assert result.exit_code == 3, result.output
    assert "ENGINE_MISSING" in result.stdout


def test_a_gate_exits_0_when_clean_1_on_a_regression_and_3_when_undecided(configured: Shop) -> None:
    suite = str(configured.suite(ASKS))
    empty = configured.head
    right = configured.learn(success("right", QUESTION, SQL))
    wrong = configured.learn(success("right", QUESTION, "SELECT 1"))
    configured.base.commit(Changes(remove=("success:right",)), author="ann", message="Forget")
    hinted = configured.learn(gotcha("state", "Use orders.state.", "orders"))

    def code(base: str, head: str) -> int:
        return invoke(configured, "gate", suite, "--base", base, "--head", head).exit_code

    assert code(right, right) == 0
    assert code(empty, right) == 0
    assert code(right, wrong) == 1
    assert code(right, hinted) == 1
    assert code(empty, hinted) == 3


def test_a_gate_prints_its_report_as_json_and_junit(configured: Shop) -> None:
    junit = configured.folder / "gate.xml"
    suite = str(configured.suite(SUITE))

    result = invoke(configured, "gate", suite, "--base", "main~1", "--head", "main", "--json", "--junit", str(junit))

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["verdict"] == "clean"
    assert JUnitXml.fromfile(str(junit)).tests == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "{suite}", "--at", "nowhere"), "no commit, branch or tag 'nowhere'"),
        (("gate", "{suite}", "--base", "main", "--head", "gone"), "no commit, branch or tag 'gone'"),
        (("run", "{folder}/none.yaml"), "none.yaml' cannot be read (No such file or directory)"),
        (("run", "{suite}", "--tenant", "other"), "assistant 'shop' not found"),
        (("gate", "{suite}"), "Missing option '--head'"),
        (("gate", "{suite}", "--head", "main"), "has no baseline; name a commit with --base"),
        (("run", "{suite}", "--json", "--markdown", "-"), "both print the report"),
        (("run", "{suite}", "--html", "-"), "only --markdown prints to stdout"),
        (("run", "{suite}", "--html", "{folder}/suite.yaml/x.html"), "cannot be written"),
        (("show", "run_0"), "run 'run_0' not found"),
        (("bless", "0"), "run '0' not found"),
        (("run", "{suite}", "--junit", "{folder}/suite.yaml/x.xml"), "cannot be written"),
        (("run", "{suite}", "--home", "{folder}/elsewhere"), "kvasir init"),
    ],
)
def test_a_mistake_of_the_user_exits_2_and_says_what(configured: Shop, arguments: tuple[str, ...], told: str) -> None:
    suite = configured.suite(SUITE)

    result = invoke(configured, *(part.format(suite=suite, folder=configured.folder) for part in arguments))

    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert result.stdout == ""


def test_a_suite_with_a_typo_exits_2_with_file_and_line(configured: Shop) -> None:
    suite = configured.suite(SUITE.replace("retrieves", "retrieve"))

    result = invoke(configured, "run", str(suite))

    assert result.exit_code == 2
    assert f"error: {suite}:7, case 'tables', field 'expect.0.retrieve'" in result.stderr
    assert "did you mean 'retrieves'?" in result.stderr
