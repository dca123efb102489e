"""Learning curves, and their plot."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from evals.bench.cli import group
from evals.bench.mini.curve import curves_of, draw, point_name

from .made import (
    result_row,
)


def test_curves_are_found_among_the_rows_by_split_and_decoding() -> None:
    rows = [
        result_row(f"{point_name('geography question split', 100)}, greedy", 0.6),
        result_row(f"{point_name('geography question split', 0)}, greedy", 0.2),
        result_row(f"{point_name('geography question split', 0)}, constrained", 0.3),
        result_row(f"{point_name('geography question split', 0)}, answers that run, greedy", 0.9),
        result_row(f"{point_name('atis query split', 10)}, greedy", 0.1, "SQL equality"),
        result_row(f"{point_name('atis query split', 100)}, greedy", None),
        result_row("defog, schemas, greedy", 0.5),
    ]
    curves = curves_of(rows)
    assert curves.keys() == {("question", "geography, execution match"), ("query", "atis, SQL equality")}
    points = curves["question", "geography, execution match"]
    assert [(point.confirmed, point.value) for point in points] == [(0, 0.2), (100, 0.6)]
    assert (points[0].low, points[0].high) == pytest.approx((0.1, 0.3))


def test_the_plot_is_a_picture_that_comes_out_the_same_every_time(tmp_path: Path) -> None:
    names = [
        f"{point_name(f'geography {split} split', count)}, greedy"
        for split in ("question", "query")
        for count in (0, 10)
    ]
    curves = curves_of(result_row(name, 0.4) for name in names)
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    draw(curves, first)
    draw(curves, second)
    assert first.read_bytes() == second.read_bytes()
    said = "".join(ElementTree.parse(first).getroot().itertext())
    for words in ("Question split", "Query split", "geography, execution match", "confirmed answers in the base"):
        assert words in said


def test_drawing_a_result_without_curves_exits_3_and_says_how_to_make_one(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    for content in ('{"rows": []}', "[]", "no json"):
        result.write_text(content)
        drawn = CliRunner().invoke(group, ["curve", str(result), str(tmp_path / "x.svg")])
        assert drawn.exit_code == 3
        assert "kvasir bench mini" in drawn.stderr
    result.write_text(json.dumps({"rows": [result_row(f"{point_name('geography query split', 0)}, greedy", 0.2)]}))
    drawn = CliRunner().invoke(group, ["curve", str(result), str(tmp_path / "x.svg")])
    assert (drawn.exit_code, (tmp_path / "x.svg").exists()) == (0, True)
