"""Events of a stream, however the network cuts them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.server_events import events_of


def read(pieces: Sequence[bytes]) -> list[dict[str, Any]]:
    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def collected() -> list[dict[str, Any]]:
        return [event async for event in events_of(sent())]

    return asyncio.run(collected())


EVENTS = st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=8), max_size=2), max_size=4)


@given(EVENTS, st.lists(st.integers(0, 300), max_size=6), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_events_are_whole_wherever_they_are_cut(
    events: list[dict[str, str]], cuts: list[int], newline: str, spaced: bool
) -> None:
    lines = [f"data:{' ' if spaced else ''}{json.dumps(event)}" for event in events]
    sent = "".join(f"{line}{newline}{newline}" for line in [": a comment", *lines, "data: [DONE]", "data: {}"]).encode()
    places = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
    assert read([sent[begin:end] for begin, end in pairwise(places)]) == events


def test_what_follows_the_last_event_without_an_end_mark_is_the_end() -> None:
    assert read([b'data: {"a": 1}\n\ndata: {"half']) == [{"a": 1}]


def test_an_event_that_is_not_json_is_told() -> None:
    with pytest.raises(ValueError):
        read([b"data: hello\n\n"])
