from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from backend.cli import group


@pytest.fixture
def simulate(tmp_path):
    file = tmp_path / "trace.jsonl"
    prompts = [[1, 2], [3, 4], [1, 2], [3, 4], [1, 5]]
    file.write_text(
        "".join(
            json.dumps({"timestamp": 1000 * i, "input_length": 1024, "output_length": 3, "hash_ids": ids}) + "\n"
            for i, ids in enumerate(prompts)
        )
    )
    return lambda *options: CliRunner().invoke(group, ["simulate", str(file), "--jobs", "1", *options])


def test_the_result_as_json_has_each_policy_at_each_size(simulate):
    result = simulate("--policy", "lru", "--policy", "optimum", "--sweep", "2,4", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["trace"] == {"requests": 5, "blocks": 10, "unique_blocks": 5, "block_tokens": 512, "seconds": 4.0}
    found = [(one["policy"], one["tiers"][0]["capacity_blocks"], one["hit_blocks"]) for one in data["results"]]
    assert found == [("lru", 2, 0), ("optimum", 2, 3), ("lru", 4, 5), ("optimum", 4, 5)]
    assert data["results"][0]["gap_closed"] == 0.0
    assert "lru: 0.0000 of blocks hit" in result.stderr


def test_the_table_names_policies_and_tiers(simulate):
    result = simulate("--tier", "ram:1", "--tier", "disk:1GB", "--policy", "lru", "--policy", "kvasir")
    assert result.exit_code == 0, result.output
    assert "5 requests, 10 blocks of 512 tokens, 5 of them unique" in result.stdout
    for word in ("lru", "kvasir", "1 + 14", "disk"):
        assert word in result.stdout


def test_a_plot_is_written(simulate, tmp_path):
    pytest.importorskip("matplotlib")
    file = tmp_path / "plot.svg"
    assert simulate("--plot", str(file), "--sweep", "1,2,4").exit_code == 0
    drawn = file.read_text()
    assert all(name in drawn for name in ("optimum", "s3fifo", "blocks of ram"))
    before = drawn
    simulate("--plot", str(file), "--sweep", "1,2,4")
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--tier", "ram"), "--tier: 'ram' is no tier"),
        (("--sweep", "1,x"), "--sweep: '1,x' is no list"),
        (("--sweep", "0"), "--sweep: a tier of 0 blocks"),
        (("--policy", "best"), "--policy: 'best' is no policy"),
        (("--block-tokens", "256"), "line 1: 2 hash_ids do not fit"),
        (("--store-gate", "worth"), "--store-gate: worth needs the policy kvasir"),
    ],
)
def test_what_cannot_be_is_an_error_with_the_next_step(simulate, options, problem):
    result = simulate(*options)
    assert result.exit_code == 1
    assert problem in result.stderr
    assert not result.stdout
