from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from backend.routing.prefix import BLOCK_BYTES, prefix_of

TEXT = st.text(max_size=600)


def conversation(system: str, *turns: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    told = [{"role": roles[number % 2], "content": turn} for number, turn in enumerate(turns)]
    return [{"role": "system", "content": system}, *told]


@given(TEXT, st.lists(TEXT, min_size=1, max_size=5), TEXT)
def test_a_later_turn_keeps_the_blocks_and_the_beginning_of_an_earlier_one(system, turns, more):
    earlier = prefix_of(conversation(system, *turns), "acme")
    later = prefix_of(conversation(system, *turns, more), "acme")
    assert later.blocks[: len(earlier.blocks)] == earlier.blocks
    assert later.beginning == earlier.beginning


@given(TEXT, TEXT)
def test_tenants_share_no_block_and_no_beginning(system, question):
    ours, theirs = (prefix_of(conversation(system, question), salt) for salt in ("acme", "other"))
    assert not set(ours.blocks) & set(theirs.blocks)
    assert ours.beginning != theirs.beginning


@given(st.text("ab", min_size=1, max_size=1500), st.text("ab", min_size=1, max_size=1500))
def test_two_prompts_share_the_whole_blocks_before_their_first_difference(one, other):
    texts = [f"<system>{system}<user>?" for system in (one, other)]
    same = next((place for place in range(min(map(len, texts))) if texts[0][place] != texts[1][place]), None)
    same = min(map(len, texts)) if same is None else same
    blocks = [prefix_of(conversation(system, "?"), None).blocks for system in (one, other)]
    shared = next((n for n, pair in enumerate(zip(*blocks, strict=False)) if pair[0] != pair[1]), min(map(len, blocks)))
    assert shared == same // BLOCK_BYTES


def test_another_process_computes_the_same():
    code = (
        "from backend.routing.prefix import prefix_of\n"
        "print(prefix_of([{'role': 'system', 'content': 'word ' * 200}, {'role': 'user', 'content': 'é?'}], 'acme'))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == str(prefix_of(conversation("word " * 200, "é?"), "acme"))
