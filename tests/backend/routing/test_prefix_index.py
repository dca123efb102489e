from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.routing.prefix_index import PrefixIndex

CAPACITY = 12


def chain(path: list[int]) -> list[int]:
    """Blocks as `prefix_of` makes them: each stands for all that comes before it as well."""
    return [hash(tuple(path[: end + 1])) for end in range(len(path))]


paths = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=20), max_size=30)


@given(paths)
def test_it_is_bounded_and_drops_chains_from_their_ends(added):
    index = PrefixIndex(CAPACITY)
    for path in added:
        index.add(chain(path))
        assert len(index) <= CAPACITY
        # The last one is there, as far as there is room.
        assert index.matched(chain(path)) == min(len(path), CAPACITY)
    for path in added:
        blocks = chain(path)
        there = [index.matched([block]) for block in blocks]
        assert there == sorted(there, reverse=True)


def test_what_is_used_again_outlives_what_is_not():
    index = PrefixIndex(4)
    index.add(chain([1, 1]))
    index.add(chain([2, 2]))
    index.add(chain([1, 1]))
    index.add(chain([3, 3]))
    assert [index.matched(chain([number, number])) for number in (1, 2, 3)] == [2, 0, 2]


def test_nothing_is_there_after_it_was_cleared():
    index = PrefixIndex()
    index.add(chain([1, 2, 3]))
    index.clear()
    assert (index.matched(chain([1])), len(index)) == (0, 0)
