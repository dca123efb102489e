from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.token_text import TokenText


def decode(tokens) -> str:
    return bytes(tokens).decode("utf-8", errors="replace")


def pieces(text: str, stop: tuple[str, ...] = ()) -> tuple[list[str], TokenText]:
    collector = TokenText(decode, stop)
    given = []
    for token in text.encode():
        given.append(collector.add(token))
        if collector.stopped:
            break
    return [*given, collector.finish()], collector


@given(st.text())
def test_the_pieces_of_any_text_make_the_text(text):
    assert "".join(pieces(text)[0]) == text


@given(st.text(alphabet="abc"), st.lists(st.text(alphabet="abc", min_size=1, max_size=3), max_size=3))
def test_text_ends_before_the_stop_string_that_is_complete_first(text, stops):
    given_pieces, collector = pieces(text, tuple(stops))
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    first_end = min((end for end, _ in ends), default=None)
    expected = text if first_end is None else text[: min(start for end, start in ends if end == first_end)]
    assert "".join(given_pieces) == expected
    assert collector.stopped == bool(ends)


def test_half_a_character_is_held_back():
    assert pieces("é!")[0] == ["", "é", "!", ""]


def test_an_unfinished_character_comes_at_the_end_as_a_replacement():
    collector = TokenText(decode, ())
    assert [collector.add("é".encode()[0]), collector.finish()] == ["", "�"]


@pytest.mark.parametrize(("text", "expected"), [("a<b", ["a", "", "<b", ""]), ("a<", ["a", "", "<"])])
def test_what_could_begin_a_stop_string_waits_for_what_follows(text, expected):
    assert pieces(text, ("<end>",))[0] == expected
