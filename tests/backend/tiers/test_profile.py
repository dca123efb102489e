from __future__ import annotations

import json
import math

import pytest

from backend.errors import ProfileInvalid
from backend.tiers.cost import PrefillCost, TransferCost, break_even_tokens
from backend.tiers.profile import profile_json, read_profile


def test_prefill_saves_what_its_polynomial_says():
    cost = PrefillCost(0.5, 0.001, 0.000001)
    assert cost.saved_seconds(1000) == pytest.approx(2.0)
    assert cost.seconds(1000) == pytest.approx(2.5)


def test_loading_nothing_costs_nothing():
    assert TransferCost(0.3, 0.001).seconds(0) == 0.0
    assert TransferCost(0.3, 0.001).seconds(100) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("prefill", "load", "tokens"),
    [
        (PrefillCost(0.0, 0.002, 0.0), TransferCost(1.0, 0.001), 1000.0),
        (PrefillCost(0.0, 0.001, 0.0), TransferCost(1.0, 0.001), None),
        (PrefillCost(0.0, 0.001, 0.0), TransferCost(0.0, 0.002), None),
        (PrefillCost(0.0, 0.0, 1e-6), TransferCost(0.0, 0.001), 1000.0),
        (PrefillCost(0.0, 0.001, 1e-6), TransferCost(6.0, 0.002), 3000.0),
        (PrefillCost(0.0, 0.002, 1e-6), TransferCost(2.0, 0.001), 1000.0),
        (PrefillCost(0.0, 0.002, 1e-6), TransferCost(0.0, 0.001), 0.0),
    ],
)
def test_the_break_even_is_where_the_curves_cross(prefill, load, tokens):
    found = break_even_tokens(prefill, load)
    assert found == (None if tokens is None else pytest.approx(tokens))
    if found:
        assert prefill.saved_seconds(found) == pytest.approx(load.seconds(found))
        assert prefill.saved_seconds(found * 1.01) > load.seconds(found * 1.01)
        assert prefill.saved_seconds(found * 0.99) < load.seconds(found * 0.99)


def test_a_profile_names_the_break_even_of_each_tier(profile):
    assert profile.break_even_tokens("ram") == pytest.approx(0.01 / 0.0009)
    assert profile.break_even_tokens("disk") == pytest.approx(200)
    assert profile.gain_seconds("disk", 400) == pytest.approx(0.4 - 0.3)


def test_a_profile_is_the_same_after_a_round_through_its_file(profile, tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(profile_json(profile)))
    assert read_profile(path) == profile
    assert json.loads(path.read_text())["tiers"]["disk"]["break_even_tokens"] == pytest.approx(200)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 99}'])
def test_a_file_that_is_no_profile_is_refused_with_its_path(text, tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(ProfileInvalid, match=r"profile\.json.*kvasir backend profile"):
        read_profile(path)


@pytest.mark.parametrize("value", [math.nan, -1.0, math.inf])
def test_a_cost_that_is_no_duration_is_refused(profile, tmp_path, value):
    raw = profile_json(profile)
    raw["tiers"]["disk"]["load"]["per_token_seconds"] = value
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(ProfileInvalid, match="per_token_seconds"):
        read_profile(path)


def test_an_absent_profile_says_how_to_make_one(tmp_path):
    with pytest.raises(ProfileInvalid, match="kvasir backend profile"):
        read_profile(tmp_path / "none.json")
