"""Work that is done several at a time and told in order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial

import pytest

from evals.at_once import in_order


def test_results_come_in_order_and_no_more_than_allowed_are_under_way() -> None:
    under_way: set[int] = set()
    most = 0

    async def work(number: int) -> int:
        nonlocal most
        under_way.add(number)
        most = max(most, len(under_way))
        # The later ones end first.
        for _ in range(20 - number):
            await asyncio.sleep(0)
        under_way.remove(number)
        return number

    async def all_of_it() -> list[int]:
        return [done async for done in in_order([partial(work, number) for number in range(10)], at_once=4)]

    assert asyncio.run(all_of_it()) == list(range(10))
    assert most == 4


def test_what_one_raises_ends_the_others() -> None:
    ended: list[int] = []

    async def work(number: int) -> int:
        try:
            if number == 1:
                raise RuntimeError("this one fails")
            await asyncio.sleep(3600 if number > 1 else 0)
        finally:
            ended.append(number)
        return number

    async def all_of_it() -> None:
        async with aclosing(in_order(partial(work, number) for number in range(5))) as results:
            async for _ in results:
                pass

    with pytest.raises(RuntimeError, match="this one fails"):
        asyncio.run(all_of_it())
    assert sorted(ended) == list(range(5))


def test_what_waits_to_be_told_takes_no_place() -> None:
    engine = asyncio.Event()
    asking = 0

    async def work(number: int) -> int:
        nonlocal asking
        if number % 10 == 0:
            asking += 1
            if asking == 4:
                engine.set()
            await asyncio.wait_for(engine.wait(), 10)
        return number

    async def all_of_it() -> list[int]:
        return [done async for done in in_order([partial(work, number) for number in range(40)], at_once=4)]

    assert asyncio.run(all_of_it()) == list(range(40))
