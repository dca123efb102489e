"""Past requests as a trace of prefix hashes."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from backend.simulation.cli import simulate_command
from backend.simulation.trace import read_trace
from gateway.prefix_hashes import Cut, cut_for, prefix_hashes
from gateway.traces import Trace, Traces
from kb.database import checked_database

from .cli_home import Home
from .test_cli import home, prepared  # noqa: F401


def trace(number: int, text: str, *, tenant: str = "default", tokens: int | None = None, **changed: object) -> Trace:
    fields: dict[str, object] = {
        "status": "answered",
        "answered_by": "engine",
        "answer": "12345678",
        "prompt_tokens": tokens,
        "created_at": f"2026-11-28T10:00:{number:02}+00:00",
        **changed,
    }
    return Trace(
        id=f"req_{number}",
        tenant=tenant,
        assistant="shop",
        kb="shop",
        commit="c",
        session_id="s",
        user="ada",
        messages=(),
        question="",
        items=(),
        prompt=({"role": "user", "content": text},),
        prompt_hash="h",
        **fields,  # type: ignore[arg-type]
    )


# "<user>" and 14 characters are 20: two blocks of ten.
SHARED = "abcd"


def test_prompts_that_begin_alike_share_ids_and_only_as_prefixes() -> None:
    cut = Cut(block_tokens=5, block_characters=10)
    lines = list(
        prefix_hashes([trace(0, SHARED + "0123456789"), trace(3, SHARED + "9876543210xyz"), trace(4, "zz")], cut)
    )
    assert [line["hash_ids"] for line in lines] == [[0, 1], [0, 2, 3], [4]]
    assert [line["input_length"] for line in lines] == [10, 12, 4]
    assert [line["timestamp"] for line in lines] == [0, 3000, 4000]
    assert lines[0]["output_length"] == 4


def test_the_same_text_after_another_beginning_is_another_block() -> None:
    cut = Cut(block_tokens=5, block_characters=10)
    one, other = prefix_hashes([trace(0, "aaaa" + "0123456789"), trace(1, "bbbb" + "0123456789")], cut)
    assert not {*one["hash_ids"]} & {*other["hash_ids"]}


def test_what_no_engine_answered_is_left_out() -> None:
    given = [
        trace(0, "a", status="failed"),
        trace(1, "b", answered_by="verified"),
        trace(2, "c", usage={"completion_tokens": 7}),
    ]
    (line,) = prefix_hashes(given, Cut(5, 10))
    assert line["output_length"] == 7
    assert cut_for(given, 5) is None


def test_a_block_has_the_characters_that_its_tokens_have_on_average() -> None:
    given = [trace(0, "x" * 34, tokens=10), trace(1, "x" * 14, tokens=10), trace(2, "x" * 500)]
    assert cut_for(given, 100) == Cut(block_tokens=100, block_characters=300)


def test_the_file_is_read_by_the_simulation_and_is_of_one_tenant(home: Home, tmp_path: Path) -> None:  # noqa: F811
    secret = "the salary of the director " * 40
    with checked_database(f"sqlite:///{home.folder / 'state' / 'kvasir.db'}", "kvasir init") as database:
        traces = Traces(database)
        for number, tenant in enumerate(["default", "default", "other"]):
            traces.keep(trace(number, f"{secret} {number}", tenant=tenant, tokens=300))
    out = tmp_path / "trace.jsonl"
    result = home("export-trace", "--out", out, "--block-tokens", 16, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["requests"] == 2
    assert "salary" not in out.read_text()
    read = read_trace(out, 16)
    assert len(read) == 2
    options = [str(out), "--block-tokens", "16", "--policy", "lru", "--json"]
    simulated = CliRunner().invoke(simulate_command, options)
    assert json.loads(simulated.stdout)["results"][0]["hit_blocks"] >= 15


def test_without_a_request_the_next_step_is_named(home: Home, tmp_path: Path) -> None:  # noqa: F811
    result = home("export-trace", "--out", tmp_path / "trace.jsonl", "--tenant", "nobody")
    assert result.exit_code == 2
    assert "error: no request of tenant 'nobody' that an engine answered is stored; ask one" in result.stderr
    assert not (tmp_path / "trace.jsonl").exists()
