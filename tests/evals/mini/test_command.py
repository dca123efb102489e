"""`kvasir bench mini`, from arguments to exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.mini.answer_file import (
    model_digest,
    prompt_of,
    read_prompts,
)
from evals.bench.cli import group
from evals.bench.errors import BenchUnavailable
from evals.bench.mini import benchmark
from evals.bench.mini.benchmark import MiniBenchmark, Plan
from evals.bench.mini.defog_set import defog_set
from evals.bench.mini.prompts import tasks_of
from evals.bench.mini.spider_sets import spider_sets
from kb.embedding import SentenceEmbedder

from .made import (
    mini,
    say,
)


@pytest.mark.usefixtures("known_embedder")
def test_the_command_prints_the_one_form_with_who_answered(data: Path, model: Path, scripted: Any) -> None:
    scripted(lambda _: "SELECT count(*) FROM pets WHERE kind = 'dog'")
    result = mini("--data", str(data), "--model", str(model), "--only", "third-party", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    values = {row["name"]: row["value"] for row in report["rows"]}
    assert values["spider dev, schemas, greedy"] == 0.5
    assert values["spider realistic, schemas, greedy"] == 1.0
    assert values["defog, schemas, greedy"] == 0.0
    assert report["machine"]["model"] == model_digest(model)
    assert report["machine"]["answers"] == {"cpu float32": 3 * 4}


@pytest.mark.usefixtures("known_embedder")
def test_a_section_without_its_data_is_left_out_and_the_others_are_measured(
    data: Path, model: Path, tmp_path: Path, scripted: Any
) -> None:
    scripted(lambda _: "SELECT 1")
    (tmp_path / "text2sql_templates").symlink_to(data / "text2sql_templates")
    result = mini("--data", str(tmp_path), "--model", str(model), "--only", "third-party", "--only", "curve", "--json")
    assert result.exit_code == 0, result.output
    assert "third-party left out" in result.stderr
    assert "train1196.jsonl" in result.stderr
    assert {row["name"].split()[0] for row in json.loads(result.stdout)["rows"]} >= {"geography", "atis", "scholar"}


def test_without_a_model_or_any_data_the_command_says_why_and_exits_3(model: Path, tmp_path: Path) -> None:
    missing = mini("--model", str(tmp_path / "none"), "--only", "speed")
    assert missing.exit_code == 3
    assert "name a model folder with --model" in missing.stderr
    nothing = mini("--data", str(tmp_path), "--model", str(model), "--only", "curve")
    assert nothing.exit_code == 3
    assert "KVASIR_DATA" in nothing.stderr


@pytest.mark.usefixtures("known_embedder")
def test_prompts_can_be_written_before_there_is_a_model(data: Path, tmp_path: Path, embedder: SentenceEmbedder) -> None:
    file = tmp_path / "prompts.jsonl"
    arguments = ("--data", str(data), "--model", str(tmp_path / "none"), "--only", "third-party")
    result = mini(*arguments, "--prompts", str(file))
    assert result.exit_code == 0, result.output
    written = read_prompts(file)
    assert all(prompt.key == prompt_of(prompt.messages).key for prompt in written)
    assert {"pets": ["id", "kind", "weight"]} in [prompt.tables for prompt in written]
    tasks = tasks_of([*spider_sets(data), defog_set(data)], embedder, say)
    assert {prompt.key for prompt in written} == {task.prompt.key for task in tasks}
    assert len(written) < len(tasks)
    assert result.output.endswith(f"{file}: {len(written)} prompts\n")


def test_every_section_of_the_command_is_one_of_the_benchmark() -> None:
    offered = next(option.type for option in group.commands["mini"].params if option.name == "only")
    assert tuple(offered.choices) == benchmark.SECTIONS  # type: ignore[attr-defined]


def test_a_benchmark_that_can_measure_nothing_raises_its_first_reason(
    model: Path, tmp_path: Path, embedder: SentenceEmbedder
) -> None:
    plan = Plan(model, tmp_path, ("third-party", "curve"))
    with pytest.raises(BenchUnavailable, match=r"train1196\.jsonl"):
        MiniBenchmark(plan, embedder, say).measure()
