from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from click.testing import CliRunner

from backend.cli import group


def size(*arguments: str):
    return CliRunner(env={"COLUMNS": "160"}).invoke(group, ["size", *arguments])


def test_json_has_the_model_a_row_a_context_and_a_row_a_gpu():
    result = size("Qwen/Qwen2.5-32B", "--gpu", "A100-80GB", "--gpu", "h100", "--context", "2048,131072", "--json")
    data = json.loads(result.stdout)
    assert data["kv_bytes_per_token"] == 262_144
    assert data["weight_bytes"] == 65_527_752_704
    assert data["contexts"] == [
        {"context_tokens": 2048, "kv_bytes": 536_870_912, "within_window": True},
        {"context_tokens": 131072, "kv_bytes": 34_359_738_368, "within_window": True},
    ]
    assert [gpu["gpu"] for gpu in data["gpus"]] == ["A100-80GB", "H100"]
    assert [(row["gpu"], row["context_tokens"]) for row in data["rows"]] == [
        ("A100-80GB", 2048),
        ("A100-80GB", 131072),
        ("H100", 2048),
        ("H100", 131072),
    ]
    assert data["rows"][0]["sequences"] == 16
    assert data["rows"][1]["decode_tokens_per_second_one"] is None


def test_one_gpu_is_shown_by_context_and_says_what_does_not_fit():
    shown = size("qwen2.5-32b", "--gpu", "A100-80GB").stdout
    assert "262,144 bytes a token" in shown
    assert "ridge point 153 FLOP/byte" in shown
    assert "--max-model-len 34672" in shown
    assert "--tp 2" in shown


def test_no_more_gpus_are_asked_for_where_the_contexts_shown_fit():
    assert "it needs" not in size("qwen2.5-32b", "--gpu", "A100-80GB", "--context", "2048").stdout


def test_without_a_gpu_each_of_the_list_has_a_line():
    shown = size("meta-llama/Llama-3.1-8B").stdout
    assert "A100-80GB" in shown
    assert "T4" in shown
    assert "none" in shown


@pytest.mark.parametrize("columns", [None, "80"])
def test_no_figure_of_the_list_is_cut(columns):
    shown = CliRunner(env={"COLUMNS": columns}).invoke(group, ["size", "Qwen/Qwen2.5-7B-Instruct"]).output

    assert "A100-80GB" in shown
    assert "…" not in shown


def test_lengths_beyond_the_models_window_are_marked():
    shown = size("google/gemma-2-9b", "--gpu", "L40S").stdout
    assert "8,192 " in shown
    assert "16,384*" in shown
    assert "beyond the model's window of 8,192" in shown


def test_the_memory_that_vllm_names_gives_the_tokens_that_it_counts():
    shown = size("Qwen/Qwen2.5-32B", "--kv-gib", "9.97", "--window-tokens", "32768").stdout
    assert "40,832 tokens" in shown


def test_a_plot_is_written_and_the_same_twice(tmp_path):
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    for path in (first, second):
        result = size("Qwen/Qwen2.5-7B", "--gpu", "H100", "--gpu", "L4", "--plot", str(path))
        assert result.exit_code == 0
    assert first.read_bytes() == second.read_bytes()
    text = " ".join(ET.parse(first).getroot().itertext())
    assert "128K" in text
    assert "H100" in text


def test_the_lists_are_shown_without_a_model():
    listed = json.loads(size("--list", "--json").stdout)
    assert len(listed["models"]) >= 20
    assert "H100" in listed["gpus"]
    assert "Qwen/Qwen2.5-32B" in size("--list").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("Qwen/Qwen25-32B",), 1, "known names like it: Qwen/Qwen2.5-32B"),
        (("gpt2", "--gpu", "H1000"), 1, "did you mean H100"),
        (("gpt2", "--tp", "5"), 1, "12 query heads"),
        (("gpt2", "--memory", "inf"), 1, "--memory: got inf; it must be a number above 0"),
        (("gpt2", "--reserve-gib", "nan"), 1, "--reserve-gib: got nan"),
        (("gpt2", "--context", "2k"), 2, "2048,8192"),
        (("gpt2", "--plot", "/nowhere/a.svg"), 1, "cannot be written"),
        ((), 2, "--list"),
    ],
)
def test_what_cannot_work_is_an_error_with_a_next_step(arguments, code, told):
    result = size(*arguments)
    assert result.exit_code == code
    assert told in result.output
    assert "Traceback" not in result.output


def test_a_config_without_its_size_is_told_by_field(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 10}))
    result = size(str(tmp_path))
    assert result.exit_code == 1
    assert "hidden_size is missing" in result.output
