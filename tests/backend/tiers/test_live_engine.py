from __future__ import annotations

from backend.tiers.live_engine import BELIEVED_SECONDS, LiveEngine


def test_an_engine_that_told_nothing_is_idle():
    engine = LiveEngine()
    assert (engine.requests(0.0), engine.others(0.0)) == (None, 0)


def test_the_request_that_asks_is_not_one_of_the_others():
    engine = LiveEngine()
    for requests, others in ((0, 0), (1, 0), (5, 4)):
        engine.observe(requests, 100.0)
        assert (engine.requests(100.0), engine.others(100.0)) == (requests, others)


def test_an_engine_that_went_away_is_forgotten():
    engine = LiveEngine()
    engine.observe(5, 100.0)
    assert engine.others(100.0 + BELIEVED_SECONDS) == 4
    assert engine.requests(100.1 + BELIEVED_SECONDS) is None
    assert engine.others(100.1 + BELIEVED_SECONDS) == 0
