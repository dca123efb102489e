"""KV that was moved between prompts: what must be exact is, and all of it computed again is the whole prompt's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backend.engine import Message
from backend.mini.moved import Mover, Tally, in_reverse

BLOCKS = [f'<schema id="schema:t{number}">\nTable t{number}\n- a{number} INTEGER\n</schema>' for number in range(4)]
MESSAGES = (
    Message(role="system", content="Answer with SQL.\n\n" + "\n\n".join(BLOCKS)),
    Message(role="user", content="How many a2 has t2?"),
)


@pytest.fixture(scope="module")
def mover(exact_folder: Path) -> Mover:
    return Mover(exact_folder, "float32")


@pytest.fixture(scope="module")
def moved(mover: Mover):
    """(prompt, KV as it should be, its logits, KV taken from the reverse order)."""
    prompt, other = mover.encode(MESSAGES), mover.encode(in_reverse(MESSAGES))
    whole, logits = mover.kv(prompt.ids)
    return prompt, whole, logits, mover.reuse(prompt, other, mover.kv(other.ids)[0])


def test_reversing_twice_changes_nothing():
    assert in_reverse(MESSAGES) != MESSAGES
    assert in_reverse(in_reverse(MESSAGES)) == MESSAGES


def test_what_follows_the_blocks_is_computed_and_they_are_not(mover, moved):
    prompt, whole, _, reused = moved
    _, _, computed = mover.filled(prompt, reused, 0, whole)
    assert reused.exact_tokens > 0
    for places in prompt.blocks.values():
        _, *inside, _ = sorted(places.values())  # a block's ends may be joined with what stands beside it
        assert all(place < reused.exact_tokens or reused.moved[place] for place in inside)
    assert computed == len(prompt.ids) - reused.exact_tokens - int(reused.moved.sum())


def test_the_first_layer_is_as_computed_and_the_next_is_not(mover, moved):
    prompt, whole, _, reused = moved
    kv, _, _ = mover.filled(prompt, reused, 0, whole)
    for kind in ("keys", "values"):
        torch.testing.assert_close(getattr(kv.layers[0], kind), getattr(whole.layers[0], kind), atol=1e-4, rtol=1e-4)
    assert (kv.layers[1].values - whole.layers[1].values).abs().max() > 1e-3


def test_all_of_it_computed_again_is_the_whole_prompt(mover, moved):
    prompt, whole, logits, reused = moved
    kv, after, computed = mover.filled(prompt, reused, 1.0, whole)
    assert computed == len(prompt.ids) - reused.exact_tokens
    torch.testing.assert_close(after, logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(kv.layers[1].keys, whole.layers[1].keys, atol=1e-4, rtol=1e-4)


def test_a_guess_changes_no_answer(mover, moved):
    prompt, whole, logits, _ = moved
    answer = mover.answer(whole, logits, len(prompt.ids))[:20]
    wrong = [*answer[:5], answer[5] + 1, *answer[6:]]
    for guess in (answer, wrong):
        assert mover.answer(whole, logits, len(prompt.ids), guess)[:20] == answer


def test_tallies_add_up():
    two = Tally(1, 1, 0, 1, 10, 40) + Tally(3, 1, 2, 3, 30, 60)
    shares = two.to_dict()
    assert shares["computed_share"] == 0.4
    assert (shares["same"]["rate"], shares["right"]["rate"]) == (0.5, 0.5)
