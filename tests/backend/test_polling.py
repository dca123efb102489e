from __future__ import annotations

from backend.polling import until


def test_what_holds_at_once_is_read_once():
    read = iter([3])
    assert until(lambda: next(read), seconds=60) == 3


def test_it_is_read_again_until_it_holds():
    read = iter(range(10))
    assert until(lambda: next(read), lambda value: value >= 4, seconds=60, pause_seconds=0) == 4
    assert next(read) == 5


def test_what_never_holds_is_given_as_it_was_read_last():
    assert until(lambda: 0, seconds=0) == 0
