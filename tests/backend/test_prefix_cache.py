from __future__ import annotations

from backend.prefix_cache import Match, PrefixCache


def cache(**entries: tuple[str | None, list[int]]) -> PrefixCache:
    """Of 100 bytes; each entry takes 10 a token."""
    prefixes = PrefixCache(100)
    for kv, (salt, tokens) in entries.items():
        prefixes.keep(salt, tokens, kv, 10 * len(tokens))
    return prefixes


def test_the_longest_common_prefix_is_found():
    prefixes = cache(short=("a", [1, 2, 9]), long=("a", [1, 2, 3, 4]))
    assert prefixes.longest("a", [1, 2, 3, 5, 6]) == Match("long", 3)
    assert prefixes.longest("a", [1, 2, 9, 9]) == Match("short", 3)
    assert prefixes.longest("a", [2, 1]) is None
    assert prefixes.longest("a", []) is None


def test_an_entry_of_another_salt_is_never_found():
    prefixes = cache(theirs=("a", [1, 2, 3]), nobodys=(None, [1, 2]))
    assert prefixes.longest("b", [1, 2, 3]) is None
    assert prefixes.longest(None, [1, 2, 3]) == Match("nobodys", 2)


def test_of_an_entry_and_its_own_beginning_only_the_longer_stays():
    prefixes = cache(turn_1=("a", [1, 2]), turn_2=("a", [1, 2, 3, 4]), again=("a", [1, 2, 3]), other=("b", [1, 2]))
    assert prefixes.size_bytes == 60
    assert prefixes.longest("a", [1, 2, 3, 4]) == Match("turn_2", 4)


def test_what_was_used_longest_ago_goes_first_until_the_rest_fits():
    prefixes = cache(first=("a", [1] * 4), second=("a", [2] * 4))
    prefixes.longest("a", [1, 1])
    prefixes.keep("a", [3] * 4, "third", 40)
    assert prefixes.longest("a", [2]) is None
    assert prefixes.longest("a", [1]) == Match("first", 1)
    prefixes.keep("a", [4] * 10, "fourth", 100)
    assert prefixes.size_bytes == 100
    assert prefixes.longest("a", [3]) is None


def test_keeping_what_is_there_already_counts_as_a_use():
    prefixes = cache(first=("a", [1] * 5), second=("a", [2] * 5), again=("a", [1] * 3), third=("a", [3] * 5))
    assert prefixes.longest("a", [1]) == Match("first", 1)
    assert prefixes.longest("a", [2]) is None


def test_what_alone_is_over_the_limit_is_not_kept_and_drives_nothing_out():
    prefixes = cache(small=("a", [1]), huge=("a", [2] * 11))
    assert prefixes.longest("a", [2]) is None
    assert prefixes.longest("a", [1]) == Match("small", 1)


def test_a_cache_of_no_size_keeps_nothing():
    prefixes = PrefixCache(0)
    prefixes.keep("a", [1], "kv", 10)
    assert prefixes.longest("a", [1]) is None
