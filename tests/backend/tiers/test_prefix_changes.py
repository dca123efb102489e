from __future__ import annotations

import random

from backend.tiers.prefix_changes import PrefixChanges, find_change

CHUNK = 64


def words(seed: int, count: int) -> list[int]:
    source = random.Random(seed)
    return [source.randrange(1000) for _ in range(count)]


def test_a_change_has_its_place_both_texts_and_what_goes_on_alike():
    knowledge = "the shop keeps seven aisles in its store, and two carriers " * 3
    one, other = f"Today is Monday. {knowledge}", f"Today is Wednesday. {knowledge}"
    change = find_change(one, other, at_least=100, span=32)
    assert (change.position, change.one, change.other) == (len("Today is "), "Mon", "Wednes")
    assert change.again == len("day. " + knowledge)


def test_texts_that_do_not_meet_again_or_not_for_long_have_no_change():
    assert find_change("a" * 100 + "b" * 200, "a" * 100 + "c" * 200, at_least=50, span=64) is None
    tail = "0123456789" * 5
    assert find_change(f"x{tail}", f"y{tail}", at_least=51, span=8) is None
    assert find_change(f"x{tail}", f"y{tail}", at_least=50, span=8) is not None
    assert find_change("same", "same and more", at_least=1, span=8) is None


def test_text_that_only_one_of_both_has_is_no_change():
    knowledge = "the shop keeps seven aisles in its store, and two carriers " * 3
    one, other = f"tables: {knowledge}", f"tables: orders; {knowledge}"
    assert find_change(one, other, at_least=100, span=32) is None
    assert find_change(other, one, at_least=100, span=32) is None


def test_a_change_may_hold_other_tokens_in_between():
    knowledge = "".join(map(chr, words(1, 200)))
    one, other = f"at 10:15, number 7: {knowledge}", f"at 11:05, number 123: {knowledge}"
    assert find_change(one, other, at_least=100, span=64).again >= 200


def test_prompts_that_change_at_one_place_are_counted_there():
    changes = PrefixChanges(CHUNK)
    opening, knowledge = words(1, 20), words(2, 3 * CHUNK)
    for number in range(4):
        # Tokens that knowledge does not have, so that the change ends where it should.
        changes.note(None, 0, [*opening, 5000 + number, 6000 + number, *knowledge, *words(10 + number, 5)])
    status = changes.status()
    assert (status["prompts"], status["changed"]) == (4, 3)
    assert status["tokens"] == 3 * len(knowledge)
    assert status["positions"] == {20: 3}


def test_the_place_counts_what_was_cached_before_it():
    changes = PrefixChanges(CHUNK)
    for number in range(2):
        changes.note(b"parent", 2 * CHUNK, [5000 + number, *words(2, 2 * CHUNK)])
    assert changes.status()["positions"] == {2 * CHUNK: 1}


def test_prompts_after_different_prefixes_and_equal_prompts_are_no_change():
    changes = PrefixChanges(CHUNK)
    knowledge = words(2, 3 * CHUNK)
    changes.note(b"one", CHUNK, [5000, *knowledge])
    changes.note(b"other", CHUNK, [5001, *knowledge])
    changes.note(b"one", CHUNK, [5000, *knowledge])
    changes.note(b"one", CHUNK, words(3, 3 * CHUNK))
    assert changes.status()["changed"] == 0
