from __future__ import annotations

from backend.tiers.observed import Observed
from backend.tiers.sightings import chunk_id


def ids(name: str, chunks: int, salt: str = "acme") -> list[bytes]:
    return [chunk_id(f"{name}{index}".encode(), salt) for index in range(chunks)]


def repeats(observed: Observed) -> dict:
    return observed.status()["repeats"]


def test_what_is_asked_again_is_found_or_lost():
    observed = Observed(256)
    observed.looked_up(ids("p", 4), 0)
    observed.looked_up(ids("p", 4), 4)
    observed.looked_up(ids("p", 5), 1)
    assert repeats(observed) == {
        "asked": 13,
        "asked_before": 8,
        "found": 5,
        "lost": 3,
        "other_salt": 0,
        "evicted": {},
        "returned": {},
    }


def test_the_first_chunk_that_is_missing_decides_about_those_behind_it():
    observed = Observed(256)
    observed.looked_up(ids("p", 4), 0)
    observed.left_ram(ids("p", 4)[1:2])
    observed.eviction_looked(evicted=True)
    observed.looked_up(ids("p", 4), 1)
    assert repeats(observed)["evicted"] == {"ram": 1}
    assert repeats(observed)["returned"] == {"ram": 3}
    assert repeats(observed)["lost"] == 0


def test_what_was_deleted_while_nothing_was_evicted_is_lost():
    observed = Observed(256)
    observed.looked_up(ids("p", 2), 0)
    observed.left_ram(ids("p", 2))
    observed.eviction_looked(evicted=False)
    observed.eviction_looked(evicted=True)
    observed.looked_up(ids("p", 2), 0)
    assert (repeats(observed)["evicted"], repeats(observed)["lost"]) == ({}, 2)


def test_what_gave_way_on_the_disk_is_told_from_ram_and_once_found_is_forgotten():
    observed = Observed(256)
    observed.looked_up(ids("p", 2), 0)
    observed.left_disk("disk", ids("p", 2))
    observed.looked_up(ids("p", 2), 0)
    observed.looked_up(ids("p", 2), 2)
    observed.looked_up(ids("p", 2), 0)
    assert (repeats(observed)["returned"], repeats(observed)["lost"]) == ({"disk": 2}, 2)


def test_equal_tokens_under_another_salt_are_counted_until_the_salt_has_its_own():
    observed = Observed(256)
    observed.looked_up(ids("p", 3), 0)
    observed.looked_up(ids("p", 3, salt="other"), 0)
    assert repeats(observed)["other_salt"] == 3
    observed.looked_up(ids("p", 3, salt="other"), 3)
    observed.looked_up(ids("p", 3), 3)
    assert repeats(observed)["other_salt"] == 3
    assert repeats(observed)["lost"] == 0


def test_of_many_salts_of_one_text_the_last_are_known():
    observed = Observed(256)
    for number in range(20):
        observed.looked_up(ids("p", 1, salt=f"session {number}"), 0)
        observed.looked_up(ids("p", 1, salt="acme"), 0 if number == 0 else 1)
    assert repeats(observed)["asked_before"] == 19
    observed.looked_up(ids("p", 1, salt="session 19"), 0)
    observed.looked_up(ids("p", 1, salt="session 0"), 0)
    assert (repeats(observed)["asked_before"], repeats(observed)["lost"]) == (20, 1)
