"""`kvasir eval import`, from arguments to a suite file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evals.cli import group
from evals.suite import load_suite

CSV = "question,sql,owner\nHow many?,SELECT 1,ann\nWho?,SELECT 2,ben\n"


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KVASIR_CONFIG", raising=False)
    path = tmp_path / "questions.csv"
    path.write_text(CSV)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["import", *map(str, arguments)])


def test_the_suite_goes_to_stdout_and_what_was_left_out_to_stderr(questions: Path) -> None:
    result = run(questions, "--assistant", "shop")

    assert result.exit_code == 0, result.output
    assert result.stderr == f"left out: {questions}:1: the header, owner: a case has no such field\n"
    suite = questions.with_name("suite.yaml")
    suite.write_text(result.stdout)
    assert [case.question for case in load_suite(suite).cases] == ["How many?", "Who?"]
    assert (load_suite(suite).name, load_suite(suite).assistant) == ("questions", "shop")


def test_a_file_is_made_and_never_written_over(questions: Path) -> None:
    out = questions.with_name("new") / "suite.yaml"

    first = run(questions, "--assistant", "shop", "--suite", "mine", "--out", out)
    again = run(questions, "--assistant", "shop", "--out", out)

    assert (first.exit_code, first.stdout) == (0, f"2 cases written to {out}\n")
    assert load_suite(out).name == "mine"
    assert again.exit_code == 2
    assert "is there already; name a new file" in again.stderr


def test_json_has_the_counts_and_everything_that_was_left_out(questions: Path) -> None:
    result = run(questions, "--assistant", "shop", "--json")

    report = json.loads(result.stdout)
    assert (report["suite"], report["format"], report["cases"], report["out"]) == ("questions", "csv", 2, None)
    assert report["left_out"] == [
        {
            "file": str(questions),
            "line": 1,
            "field": "owner",
            "name": "the header",
            "what": "owner",
            "reason": "a case has no such field",
        }
    ]
    assert report["yaml"].startswith("# Imported from questions.csv (csv).\n")


def test_the_assistant_is_the_only_one_that_is_configured(questions: Path) -> None:
    config = questions.with_name("kvasir.toml")
    missing = run(questions)
    config.write_text('[assistants.one]\nkb = "x"\n[assistants.other]\nkb = "x"\ntenant = "t"\n')
    only = run(questions)
    config.write_text('[assistants.one]\nkb = "x"\n[assistants.two]\nkb = "x"\n')
    both = run(questions)

    assert "assistant: one\n" in only.stdout
    assert (missing.exit_code, both.exit_code) == (2, 2)
    assert "no kvasir.toml has one; name one with --assistant" in missing.stderr
    assert "kvasir.toml has one, two; name one with --assistant" in both.stderr


@pytest.mark.parametrize(
    ("file", "text", "options", "told"),
    [
        ("notes.txt", "x", (), "is not plainly of one format; say it with --from"),
        ("a.csv", CSV, ("--db", "x"), "--db goes with --from spider or bird"),
        ("a.csv", "question\nx\n", (), "a.csv:1: a column 'sql' is expected"),
        ("a.json", '[{"question": "x", "query": "y", "db_id": 7}]', (), "a.json:1, field '$[0].db_id': is a number"),
        ("a.csv", CSV, ("--config", "gone.toml"), "gone.toml: got 'no such file'"),
        ("a.csv", CSV, ("--assistant", "x", "--out", "a.csv/suite.yaml"), "cannot be written"),
    ],
)
def test_a_mistake_of_the_user_exits_2_and_says_what(
    questions: Path, file: str, text: str, options: tuple[str, ...], told: str
) -> None:
    questions.with_name(file).write_text(text)

    result = run(questions.with_name(file), *options)

    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert result.stdout == ""
