from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from backend.simulation.reuse_model import _WIDTHS, AGE_EDGES, AGES, CLASSES, FIRST_FIT, ReuseModel, best_rates


def test_a_constant_rate_is_worth_itself_at_every_age():
    assert best_rates(np.full((1, AGES), 0.01)) == pytest.approx(np.full((1, AGES), 0.01))


def test_a_late_return_is_worth_what_the_wait_leaves_of_it():
    # Nothing comes back in the first bin, then all at a high rate in the second: one return for both bins' time.
    rates = np.zeros((1, AGES))
    rates[0, 1] = 50 / _WIDTHS[1]
    best = best_rates(rates)[0]
    assert best[0] == pytest.approx(1 / (_WIDTHS[0] + _WIDTHS[1] / 50), rel=1e-6)
    assert best[1] == pytest.approx(rates[0, 1])
    assert best[2] == 0


AGAIN = 2  # the property of the use that ends an observation: it begins one that is not of those looked at


def _seen(count, gap_of, property_of):
    """A model that has seen a run of one block a second, and each again after `gap_of(i)` seconds, `None` for never."""
    model = ReuseModel([3], np.ones(count, np.int64))
    uses = [(float(number), number, property_of(number)) for number in range(count)]
    uses += [(number + gap_of(number), number, AGAIN) for number in range(count) if gap_of(number) is not None]
    for seconds, number, kind in sorted(uses):
        model.observe(seconds, [number], [kind])
    assert model.fit_if_due(max(uses)[0])
    return model


def test_the_factors_are_the_ratio_of_returns():
    # Property 1 comes back after 50 s eight times in ten, property 0 once in ten.
    model = _seen(4000, lambda i: 50.0 if i % 10 < (8 if i % 2 else 1) else None, lambda i: i % 2)
    assert model.scores[1] > 0 > model.scores[0]
    best = model.index[model.classes[1], 0] / model.index[model.classes[0], 0]
    assert best > 3
    assert model.classes[1] > model.classes[0]


def test_what_has_not_returned_yet_is_no_proof_that_it_will_not():
    # The same gaps, seen early and seen late: the rate by age is the same.
    late = _seen(2000, lambda i: 100.0, lambda i: 0)
    early = _seen(2000, lambda i: 100.0 if i + 100 < 2000 else None, lambda i: 0)
    assert early.index[early.classes[0], 0] == pytest.approx(late.index[late.classes[0], 0], rel=0.1)


def test_before_the_first_fit_the_newest_is_worth_most():
    model = ReuseModel([2], np.ones(1, np.int64))
    assert not model.fit_if_due(0.0)
    assert (np.diff(model.index, axis=1) < 0).all()
    assert model.index.shape == (CLASSES, AGES)
    assert len(AGE_EDGES) == AGES


def test_fits_become_rarer_and_old_observations_are_forgotten(monkeypatch):
    monkeypatch.setattr("backend.simulation.reuse_model.WINDOW", 500)
    model = ReuseModel([1], np.ones(3000, np.int64))
    fits = []
    for number in range(3000):
        model.observe(float(number), [number], [0])
        if model.fit_if_due(float(number)):
            fits.append(number + 1)
            assert len(model._runs) <= 500
    assert fits[0] == FIRST_FIT
    steps = [later - earlier for earlier, later in pairwise(fits)]
    assert steps == sorted(steps)
    assert steps[-1] > 10 * steps[0]
