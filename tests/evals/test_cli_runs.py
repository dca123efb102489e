"""`kvasir eval list`, `show`, `bless` and `flaky`, and the gate's baseline, from arguments to exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from junitparser import JUnitXml

import gateway.core
from evals.cli import group
from evals.suite import load_suite
from gateway.core import Core
from gateway.settings import Settings
from kb.embedding import SentenceEmbedder

from .conftest import OpenShop, Shop, gotcha, success

QUESTION = "How many orders placed in 2025 were cancelled?"
SQL = "SELECT count(*) FROM orders WHERE state = 'cancelled'"
SUITE = f"""\
suite: shop
assistant: shop
cases:
  - id: cancelled
    question: {QUESTION}
    expect:
      - sql_result: {{sql: "{SQL}"}}
"""


@pytest.fixture
def configured(
    open_shop: OpenShop, shop_database: Path, monkeypatch: pytest.MonkeyPatch, embedder: SentenceEmbedder
) -> Shop:
    """A shop with a kvasir.toml, whose commands ask the scripted engine."""
    shop = open_shop()
    (shop.folder / "kvasir.toml").write_text(
        f'home = "home"\n[datasources.shop]\nurl = "sqlite:///{shop_database}"\n'
        '[engines.main]\nmodel = "scripted/engine"\n'
        '[assistants.shop]\nkb = "shop"\nengine = "main"\ndatasource = "shop"\n'
    )
    open_core = gateway.core.open_core

    def scripted(settings: Settings) -> Core:
        return open_core(settings, engines={"main": shop.engine}, embedder=embedder)

    monkeypatch.setattr("gateway.core.open_core", scripted)
    monkeypatch.setattr("evals.cli_runs.user_name", lambda: "ada")
    return shop


def invoke(shop: Shop, *arguments: str) -> Result:
    return CliRunner().invoke(group, [*arguments, "--config", str(shop.folder / "kvasir.toml")])


def answered(shop: Shop, *arguments: str) -> dict[str, object]:
    result = invoke(shop, *arguments, "--json")
    assert result.stdout, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_a_run_is_kept_listed_and_shown_again_as_it_was(configured: Shop) -> None:
    suite = str(configured.suite(SUITE))
    configured.engine.enqueue("SELECT 1")
    result = invoke(configured, "run", suite, "--json")
    run = json.loads(result.stdout)

    (listed,) = json.loads(invoke(configured, "list", "--suite", "shop", "--json").stdout)
    shown = answered(configured, "show", run["id"][:10])

    assert f"kept as {run['id']}" in result.stderr
    assert (listed["id"], listed["verdict"], listed["counts"], listed["baseline"]) == (
        run["id"],
        "failed",
        {"failed": 1},
        None,
    )
    assert shown == run
    assert run["cases"][0]["answer"] == "SELECT 1"
    assert json.loads(invoke(configured, "list", "--suite", "other", "--json").stdout) == []
    assert f"{run['id']}  " in invoke(configured, "list").stdout


def test_a_gate_without_a_base_compares_with_the_blessed_baseline_which_no_run_moves(configured: Shop) -> None:
    suite = str(configured.suite(SUITE))
    before = configured.head
    configured.engine.enqueue(SQL)
    first = answered(configured, "run", suite)
    told = invoke(configured, "bless", str(first["id"]))
    configured.learn(gotcha("wrong", "Use orders.status.", "cancelled"))
    configured.engine.enqueue("SELECT 1")
    invoke(configured, "run", suite)

    result = invoke(configured, "gate", suite, "--head", "main", "--json")

    assert told.stdout == f"{before[:12]} of {first['id']} is the baseline of shop\n"
    report = json.loads(result.stdout)
    assert (result.exit_code, report["base"], report["verdict"]) == (1, before, "regression")
    assert report["baseline_run"] == first["id"]
    assert f"compared with the baseline: {before[:12]} of {first['id']}, blessed by ada on " in result.stderr
    (baseline,) = [
        run["baseline"] for run in json.loads(invoke(configured, "list", "--json").stdout) if run["baseline"]
    ]
    assert (baseline["run_id"], baseline["blessed_by"]) == (first["id"], "ada")
    assert "baseline, blessed by ada on" in invoke(configured, "list").stdout
    assert "the baseline of shop, blessed by ada" in invoke(configured, "show", str(first["id"])).stderr


def test_a_run_that_failed_is_blessed_by_force_alone(configured: Shop) -> None:
    configured.engine.enqueue("SELECT 1")
    run = answered(configured, "run", str(configured.suite(SUITE)))

    refused = invoke(configured, "bless", str(run["id"]))

    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"error: {run['id']} ended as failed (1 failed)" in refused.stderr
    assert invoke(configured, "bless", str(run["id"]), "--force").exit_code == 0


def test_a_run_of_an_assistant_that_is_gone_cannot_be_blessed(configured: Shop) -> None:
    configured.engine.enqueue(SQL)
    run = answered(configured, "run", str(configured.suite(SUITE)))
    toml = configured.folder / "kvasir.toml"
    toml.write_text(toml.read_text().replace("assistants.shop", "assistants.other"))

    result = invoke(configured, "bless", str(run["id"]))

    assert result.exit_code == 2
    assert "assistant 'shop' not found" in result.stderr


def test_a_gate_is_written_as_junit_markdown_and_a_page_and_again_when_it_is_shown(configured: Shop) -> None:
    suite, before = str(configured.suite(SUITE)), configured.head
    configured.learn(gotcha("wrong", "Use orders.status.", "cancelled"))
    configured.engine.enqueue(SQL, "SELECT 1")
    files = {name: configured.folder / "out" / name for name in ("gate.xml", "gate.md", "gate.html")}
    junit, markdown, html = (["--junit", "--markdown", "--html"][i] for i in range(3))
    options = [part for pair in zip((junit, markdown, html), map(str, files.values()), strict=True) for part in pair]

    result = invoke(configured, "gate", suite, "--base", before, "--head", "main", *options)
    written = {name: file.read_text() for name, file in files.items()}
    run = json.loads(invoke(configured, "list", "--json").stdout)[0]["id"]
    again = invoke(configured, "show", run, *options)

    assert (result.exit_code, again.exit_code) == (1, 0)
    assert {name: file.read_text() for name, file in files.items()} == written
    assert JUnitXml.fromfile(str(files["gate.xml"])).failures == 1
    assert written["gate.md"].startswith("### regression")
    assert "<svg" in written["gate.html"]
    assert invoke(configured, "show", run, "--markdown", "-").stdout == written["gate.md"]


def test_held_out_cases_are_left_to_the_gate(configured: Shop) -> None:
    suite, before = (
        str(configured.suite(SUITE.replace("    expect", "    held_out: true\n    expect"))),
        configured.head,
    )
    configured.learn(gotcha("wrong", "Use orders.status.", "cancelled"))
    configured.engine.enqueue(SQL, "SELECT 1")

    run = invoke(configured, "run", suite)
    gate = invoke(configured, "gate", suite, "--base", before, "--head", "main", "--markdown", "-")

    assert (run.exit_code, gate.exit_code) == (3, 1)
    assert "1 held out for the gate" in run.stdout
    assert "#### worse: `cancelled` (held out)" in gate.stdout
    assert "[1/1] worse     cancelled" in gate.stderr
    assert SQL not in gate.stdout + gate.stderr
    assert QUESTION not in gate.stdout + gate.stderr


def test_flaky_prints_lines_that_the_suite_takes_and_stores_no_draw(configured: Shop) -> None:
    path = configured.suite(
        f"{SUITE}  - id: orders\n    question: How many orders?\n    expect: [retrieves: schema:orders]\n"
    )
    configured.engine.enqueue(*[SQL, "SELECT 1", SQL] * 2)

    first = invoke(configured, "flaky", str(path), "--repeats", "3")
    second = answered(configured, "flaky", str(path), "--repeats", "3")

    assert first.exit_code == 0, first.output
    assert "1 of 2 cases waver over 3 draws" in first.stderr
    assert (len(configured.engine.calls), second["engine_calls"], second["wavering"]) == (6, 3, ["cancelled"])
    (entry,) = yaml.safe_load(first.stdout)
    assert (entry["id"], entry["flaky"]["passed"], entry["flaky"]["repeats"]) == ("cancelled", 2, 3)
    pasted = first.stdout.splitlines()[1]
    configured.suite(SUITE.replace("    expect", f"  {pasted}\n    expect"))
    measured = load_suite(path).cases[0].flaky
    assert measured is not None
    assert configured.head.startswith(measured.commit)


def test_flaky_exits_3_where_a_case_cannot_be_judged(configured: Shop) -> None:
    configured.learn(success("other", "How many?", SQL))
    suite = configured.suite(SUITE.replace(SQL, "SELECT gone FROM orders"))

    result = invoke(configured, "flaky", str(suite))

    assert (result.exit_code, result.stdout) == (3, "")
    assert "1 undecided" in result.stderr


def test_quiet_tells_nothing_but_the_report(configured: Shop) -> None:
    configured.engine.enqueue(SQL)

    result = invoke(configured, "run", str(configured.suite(SUITE)), "--quiet")

    assert (result.exit_code, result.stderr) == (0, "")
    assert "1 of 1 judged cases passed" in result.stdout


@pytest.mark.parametrize("command", [("run",), ("gate", "--base", "main", "--head", "main"), ("flaky",)])
def test_on_a_terminal_a_command_says_first_what_it_loads_unless_it_is_quiet(
    configured: Shop, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("gateway.loading.on_terminal", lambda: True)
    name, *options = command
    # Retrieval alone: no engine is asked.
    suite = configured.suite(SUITE.replace(f'sql_result: {{sql: "{SQL}"}}', 'retrieves: "schema:orders"'))

    assert invoke(configured, name, str(suite), *options).stderr.startswith("loading libraries and the embedding model")
    assert "loading" not in invoke(configured, name, str(suite), *options, "--quiet").stderr


def test_where_no_run_is_kept_list_says_so(configured: Shop) -> None:
    result = invoke(configured, "list", "--suite", "other")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("no run of suite 'other' is kept; 'kvasir eval run'")
    assert json.loads(invoke(configured, "list", "--json").stdout) == []
