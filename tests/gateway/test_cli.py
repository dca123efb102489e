"""`kvasir`: its help, its exit codes, and asking and confirming from a terminal."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gateway.cli.main import COMMANDS, main
from gateway.errors import Forbidden
from kb.database import wanted_version
from kb.embedding import SentenceEmbedder

from .cli_home import Home, copy_home, make_home

STALE = "How many orders placed in 2025 were cancelled?"
UNCOVERED = "Which supplier has the longest lead time?"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, shop_database: Path) -> Home:
    return make_home(tmp_path_factory.mktemp("prepared"), shop_database)


@pytest.fixture
def home(prepared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: SentenceEmbedder) -> Home:
    for name in [name for name in os.environ if name.startswith("KVASIR_")]:
        monkeypatch.delenv(name)
    # Loading the model again for every command takes seconds.
    monkeypatch.setattr("gateway.core.SentenceEmbedder", lambda _model: embedder)
    monkeypatch.setattr("kb.embedding.SentenceEmbedder", lambda _model: embedder)
    monkeypatch.chdir(tmp_path)
    return copy_home(prepared, tmp_path / "home")


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group that is no group, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_command_has_help_and_a_json_option(home: Home) -> None:
    seen = []
    for words, command in commands():
        seen.append(" ".join(words))
        result = home(*words, "--help")
        assert result.exit_code == 0, words
        assert command.help, words
        has_json = any("--json" in parameter.opts for parameter in command.params)
        assert has_json, words
    assert {"init", "serve", "ask", "kb log", "proposal approve", "key create", "eval gate", "backend up"} <= {*seen}


def test_the_overview_says_of_each_command_what_it_says_itself() -> None:
    for name, target in COMMANDS.items():
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.name == name
        own = " ".join((command.help or "").split("\n\n")[0].split())
        assert target.help == own.partition(". ")[0].removesuffix(".") + ".", name


def test_the_overview_loads_no_library() -> None:
    program = (
        "import sys; from gateway.cli.main import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert not {"torch", "sqlalchemy", "pydantic", "litellm"} & {*loaded}


def test_a_question_that_is_covered_is_answered_on_stdout(home: Home) -> None:
    result = home("ask", STALE)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("SELECT count(*)")
    assert "confirmed answer success:orders_cancelled_2025" in result.stderr
    assert "-- check: passed" in result.stderr


@pytest.mark.parametrize("command", [("ask", STALE), ("kb", "search", STALE, "--kb", "shop"), ("confirm", "req_none")])
def test_on_a_terminal_a_command_says_first_what_it_loads(
    home: Home, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    told = "loading libraries and the embedding model all-MiniLM-L6-v2 …\n"
    assert told not in home(*command).stderr

    monkeypatch.setattr("gateway.loading.on_terminal", lambda: True)

    assert home(*command).stderr.startswith(told)


def test_what_was_retrieved_is_named_in_full(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    stderr = home("ask", STALE).stderr
    assert "…" not in stderr
    items = "".join(line.split("│")[1].strip() for line in stderr.splitlines() if line.startswith("│"))
    assert "relationship:orders.buyer_id-customers.id" in items


def test_a_rejected_answer_is_corrected_and_answers_from_then_on(home: Home) -> None:
    first = json.loads(home("ask", STALE, "--json").stdout)
    right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
    request = first["kvasir"]["request_id"]
    verdict = json.loads(home("reject", request, "--answer", right, "--json").stdout)
    assert verdict["state"] == "landed"
    assert json.loads(home("proposal", "list", "--json").stdout)[0]["id"] == verdict["id"]
    shown = home("proposal", "show", verdict["id"]).stdout
    assert "land       ok" in shown
    (case,) = (line for line in shown.splitlines() if line.endswith("better"))
    assert case.startswith("  success:")
    assert "0/1 SINGLE_CELL_DIFFERENCE" in case
    assert "(after): clean" in shown
    again = json.loads(home("ask", STALE, "--json").stdout)
    assert again["choices"][0]["message"]["content"] == right
    assert again["kvasir"]["commit"] == verdict["commit"]
    assert "contradicts" in home.refused("confirm", request)


def test_a_curator_approves_or_rejects_from_the_terminal(home: Home) -> None:
    home.configure(home.config.read_text() + 'approval = "curator"\n')
    first = json.loads(home("ask", STALE, "--json").stdout)
    right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
    waiting = json.loads(home("reject", first["kvasir"]["request_id"], "--answer", right, "--json").stdout)
    assert waiting["state"] == "waiting"
    assert json.loads(home("proposal", "approve", waiting["id"][:12], "--json").stdout)["state"] == "landed"
    assert "is landed already" in home.refused("proposal", "reject", waiting["id"])


def test_a_landed_proposal_is_reverted_from_the_terminal_which_lists_the_answers_that_used_it(home: Home) -> None:
    first = json.loads(home("ask", STALE, "--json").stdout)
    right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
    landed = json.loads(home("reject", first["kvasir"]["request_id"], "--answer", right, "--json").stdout)
    used = json.loads(home("ask", STALE, "--json").stdout)["kvasir"]["request_id"]
    told = home("proposal", "revert", landed["id"])
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0].startswith(f"{landed['id']}: reverted by commit ")
    assert lines[1] == "1 answer had used it since it landed"
    assert lines[2].startswith(f"  {used}  ")
    assert lines[2].endswith(STALE)
    again = json.loads(home("proposal", "revert", landed["id"], "--json").stdout)
    assert [use["request_id"] for use in again["used_by"]] == [used]
    assert json.loads(home("ask", STALE, "--json").stdout)["choices"] == first["choices"]


def test_who_confirmed_cannot_approve_where_a_second_person_is_wanted(home: Home) -> None:
    home.configure(home.config.read_text() + 'approval = "second"\n')
    first = json.loads(home("ask", STALE, "--json").stdout)
    right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
    waiting = json.loads(home("reject", first["kvasir"]["request_id"], "--answer", right, "--json").stdout)
    assert waiting["state"] == "waiting"
    assert "wants a second person to approve" in home.refused("proposal", "approve", waiting["id"])


def test_a_contradiction_is_shown_with_both_statements_and_what_they_give(home: Home) -> None:
    question = "How many customers do we have in Germany?"
    home.configure(home.config.read_text().replace("verified_answers = true", "verified_answers = false"))
    failed = home("ask", question)
    request = re.search(r"req_\w+", failed.stderr)
    assert request is not None
    wrong = "SELECT count(*) FROM customers WHERE country = 'DE'"
    waiting = json.loads(home("reject", request[0], "--answer", wrong, "--json").stdout)
    assert waiting["state"] == "waiting"
    shown = home("proposal", "show", waiting["id"][:12]).stdout.splitlines()
    at = next(place for place, line in enumerate(shown) if line.startswith("contradicts "))
    assert shown[at] == f"contradicts success:customers_in_germany: {question}"
    assert [line.split()[-1] for line in (shown[at + 2], shown[at + 4])] == ["1277", "1385"]
    assert shown[at + 3] == f"  proposed   {wrong}"


def test_a_proposal_whose_branch_moved_is_replayed_while_the_curator_waits(home: Home) -> None:
    home.configure(home.config.read_text() + 'approval = "curator"\n')
    first = json.loads(home("ask", STALE, "--json").stdout)
    right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
    waiting = json.loads(home("reject", first["kvasir"]["request_id"], "--answer", right, "--json").stdout)
    assert home("kb", "revert", "main", "--kb", "shop").exit_code == 0
    moved = json.loads(home("kb", "log", "--kb", "shop", "--json").stdout)[0]["id"]
    ended = home("proposal", "approve", waiting["id"], "--json")
    assert "the branch moved" in ended.stderr
    view = json.loads(ended.stdout)
    assert view["state"] in ("waiting", "landed")
    assert view["report"]["base"] == moved


def test_a_rejection_without_an_answer_is_logged(home: Home) -> None:
    request = json.loads(home("ask", STALE, "--json").stdout)["kvasir"]["request_id"]
    result = home("reject", request, "--note", "no")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{request}: logged, nothing is learned")
    assert "--answer" in result.stdout
    assert "'answer'" not in result.stdout
    assert json.loads(home("proposal", "list", "--json").stdout) == []


def test_a_key_is_shown_once_listed_by_its_start_and_revoked(home: Home) -> None:
    key = home("key", "create", "--name", "ann", "--role", "confirm").stdout.strip()
    listed = json.loads(home("key", "list", "--json").stdout)
    assert [(entry["name"], entry["roles"], entry["revoked"]) for entry in listed] == [("ann", ["confirm"], False)]
    assert key not in home("key", "list").stdout
    assert home("key", "revoke", listed[0]["id"]).exit_code == 0
    assert "revoked" in home("key", "list").stdout


def test_the_command_that_a_key_without_the_role_is_told_works(home: Home) -> None:
    told = str(Forbidden("confirm", "a verdict")).partition("kvasir ")[2]
    assert home(*told.split()).exit_code == 0
    assert json.loads(home("key", "list", "--json").stdout)[0]["roles"] == ["confirm"]


NEEDS_STATE = [
    ("kb", "list"),
    ("kb", "log"),
    ("kb", "show"),
    ("kb", "diff", "main"),
    ("kb", "search", "x"),
    ("kb", "export", "out"),
    ("kb", "branch"),
    ("kb", "revert", "main"),
    ("kb", "introspect", "shop"),
    ("ask", "x"),
    ("confirm", "req_x"),
    ("reject", "req_x"),
    ("proposal", "list"),
    ("proposal", "approve", "x"),
    ("key", "list"),
    ("key", "create", "--name", "x"),
    ("serve",),
]


@pytest.mark.parametrize("arguments", NEEDS_STATE, ids=" ".join)
def test_without_a_state_the_command_that_makes_one_is_named_and_no_file_is_made(
    home: Home, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    before = sorted(tmp_path.iterdir())
    told = home.refused(*arguments, "--home", tmp_path / "none")
    assert f"needs version {wanted_version()}; run: kvasir init --config home/kvasir.toml --home none" in told
    assert sorted(tmp_path.iterdir()) == before


def test_a_schema_that_is_behind_is_told_with_both_versions_and_the_exact_command(home: Home) -> None:
    connection = sqlite3.connect(home.folder / "state" / "kvasir.db")
    connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.commit()
    connection.close()
    for arguments in (("kb", "log"), ("ask", "x"), ("proposal", "list"), ("key", "list"), ("serve",)):
        told = home.refused(*arguments)
        assert f"is at version 0000, this Kvasir needs version {wanted_version()}" in told
        assert "run: kvasir init --config home/kvasir.toml" in told


def test_init_is_repeatable(home: Home) -> None:
    before = home.state()
    assert json.loads(home("init", "--json").stdout)["version"] == wanted_version()
    assert home.state() == before


ENGINE_AWAY = '[engines.m]\nmodel = "openai/x"\napi_base = "http://127.0.0.1:1/v1"\napi_key = "sekret"\nretries = 0\n'
BAD_CALLS = [
    (("ask", ""), ("the question is empty",)),
    (("ask", "a\udc80"), ("no character",)),
    (("ask", "x", "--assistant", "shpo"), ("assistant 'shpo' not found", "known: shop", "--assistant")),
    (("ask", "x", "--tenant", "other"), ("tenant 'other' has no assistant", "[assistants.NAME]")),
    (("ask", "x", "--user", "\udc80"), ("user holds",)),
    (("confirm", "req_x"), ("request 'req_x' not found",)),
    (("reject", "req_x", "--answer", ""), ("request 'req_x' not found",)),
    (("proposal", "show", "prop_x"), ("proposal 'prop_x' not found",)),
    (("proposal", "approve", "prop_x"), ("proposal 'prop_x' not found",)),
    (("proposal", "revert", "prop_x"), ("proposal 'prop_x' not found",)),
    (("key", "revoke", "0123456789ab"), ("kvasir key list",)),
    (("key", "create", "--name", "x", "--role", "god"), ("'god' is not one of 'ask'",)),
    (("ask",), ("Missing argument 'QUESTION'",)),
    (("bogus",), ("No such command 'bogus'",)),
    (("kb", "log", "--bogus"), ("No such option",)),
    (("serve", "--port", "99999"), ("99999 is not in the range",)),
    (("serve", "--host", " "), ("host",)),
    (("eval", "run", "none.yaml"), ("none.yaml' cannot be read",)),
]


@pytest.mark.parametrize(("arguments", "told"), BAD_CALLS, ids=lambda value: ascii(value)[:60])
def test_a_mistake_of_the_user_exits_2_and_changes_nothing(
    home: Home, arguments: tuple[str, ...], told: tuple[str, ...]
) -> None:
    stderr = home.refused(*arguments)
    for part in told:
        assert part in stderr


BAD_VARIABLES = [
    ({"KVASIR_PORT": "abc"}, "KVASIR_PORT: got 'abc'"),
    ({"KVASIR_ENGINES": "{bad"}, "KVASIR_ENGINES: got"),
    ({"KVASIR_DATABASE_URL": "mysql://u:sekret@h/d"}, "KVASIR_DATABASE_URL: got"),
    ({"KVASIR_DATABASE_URL": "postgresql://u:sekret@127.0.0.1:1/d"}, "the state database cannot be used"),
]


@pytest.mark.parametrize(("variables", "told"), BAD_VARIABLES)
def test_a_bad_variable_is_named_and_no_password_is_shown(home: Home, variables: dict[str, str], told: str) -> None:
    stderr = home.refused("key", "list", env=variables)
    assert told in stderr
    assert "sekret" not in stderr


def test_a_broken_configuration_names_the_file_and_the_line(home: Home) -> None:
    home.configure('home = "state"\n[assistants\n')
    stderr = home.refused("ask", "x")
    assert str(home.config) in stderr
    assert "line 2" in stderr


def test_a_log_level_that_is_none_is_named(home: Home) -> None:
    assert "KVASIR_LOG_LEVEL: got 'loud'" in home.refused("serve", env={"KVASIR_LOG_LEVEL": "loud"})


def test_of_several_assistants_one_must_be_named(home: Home) -> None:
    home.configure(home.config.read_text() + '[assistants.other]\nkb = "shop"\n')
    assert "--assistant: other, shop" in home.refused("ask", "x")


def test_an_assistant_whose_base_or_branch_is_not_there_is_told(home: Home) -> None:
    home.configure('home = "state"\n[assistants.a]\nkb = "shpo"\n[assistants.b]\nkb = "shop"\nbranch = "draft"\n')
    assert "knowledge base 'shpo' not found (known: shop)" in home.refused("ask", "x", "--assistant", "a")
    assert "'draft' in 'shop'" in home.refused("ask", "x", "--assistant", "b")


def test_a_file_that_is_no_database_is_told(home: Home) -> None:
    (home.folder / "state" / "kvasir.db").write_text("no database " * 1000)
    for arguments in (("kb", "log"), ("init",)):
        assert "file is not a database" in home.refused(*arguments)


def test_a_home_that_cannot_be_made_is_told(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "its folder cannot be made (File exists)" in home.refused("init", "--home", tmp_path / "file")


def test_without_an_engine_an_uncovered_question_exits_1_and_says_how_to_add_one(home: Home) -> None:
    stderr = home.refused("ask", UNCOVERED, "--json", code=1)
    assert "[engines.mini]" in stderr
    assert 'engine = "mini" under [assistants.shop]' in stderr


def test_a_question_that_failed_can_be_taught(home: Home) -> None:
    stderr = home.refused("ask", UNCOVERED, "--json", code=1)
    assert "schema:suppliers" in stderr
    told = re.search(r"request (req_\w+): teach the right answer with: kvasir reject (req_\w+) --answer", stderr)
    assert told
    assert told[1] == told[2]
    assert f"kvasir reject {told[1]} --answer" in home.refused("confirm", told[1])
    assert "--answer is empty" in home.refused("reject", told[1], "--answer", " ")
    answer = "SELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1"
    taught = home("reject", told[1], "--answer", answer, "--json")
    assert json.loads(taught.stdout)["state"] == "landed", taught.output
    assert home("ask", UNCOVERED).stdout.strip() == answer


def test_an_engine_that_is_away_exits_1_and_shows_no_key(home: Home) -> None:
    home.configure(home.config.read_text() + f'engine = "m"\n{ENGINE_AWAY}')
    stderr = home.refused("ask", UNCOVERED, "--json", code=1)
    assert "nothing answers at http://127.0.0.1:1/v1" in stderr
    assert "sekret" not in stderr


def test_a_typo_in_a_suite_is_told_with_file_line_and_field(home: Home) -> None:
    suite = home.folder / "suite.yaml"
    suite.write_text("suite: s\nassistant: shop\ncases:\n  - id: a\n    question: x\n    expct: []\n")
    stderr = home.refused("eval", "run", suite)
    assert f"{suite}:" in stderr
    assert "case 'a'" in stderr


def test_a_user_id_without_a_name_still_commits(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_123)
    reverted = json.loads(home("kb", "revert", "main", "--kb", "shop", "--json").stdout)
    assert reverted["author"] == "uid 4000123"


def test_the_installed_command_keeps_errors_off_stdout(home: Home) -> None:
    command = [str(Path(sys.executable).parent / "kvasir"), "kb", "log", "nowhere", "--json", "--kb", "shop"]
    done = subprocess.run([*command, "--config", str(home.config)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: no commit, branch or tag 'nowhere' in 'shop'")
