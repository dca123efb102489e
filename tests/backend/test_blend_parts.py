"""What the blend engine's two sides do without vLLM and LMCache: which chunks follow one another, and how keys move."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.vllm_connector.kvasir_found import without_gap
from backend.vllm_connector.kvasir_rotation import rotated

WIDTH, POSITIONS = 8, 64
ANGLES = torch.arange(POSITIONS)[:, None] / 10.0 ** (torch.arange(WIDTH // 2) / 2)
COS_SIN = torch.cat((ANGLES.cos(), ANGLES.sin()), dim=-1)


@dataclass(frozen=True)
class Match:
    cur_st: int
    cur_ed: int


def chunk(number: int) -> Match:
    return Match(number * 10, number * 10 + 10)


def test_chunks_are_taken_as_far_as_they_follow_the_prefix() -> None:
    found = without_gap(20, [chunk(4), chunk(2), chunk(3), chunk(6)], 100)
    assert (found.tokens, found.prefix_tokens, found.moved) == (50, 20, (chunk(2), chunk(3), chunk(4)))


def test_a_gap_behind_the_prefix_leaves_the_prefix_alone() -> None:
    assert without_gap(20, [chunk(3)], 100).tokens == 20


def test_a_chunk_that_begins_inside_another_is_left_out() -> None:
    assert without_gap(0, [Match(0, 10), Match(5, 15), Match(10, 20)], 100).moved == (chunk(0), chunk(1))


def test_what_lies_beyond_the_limit_is_computed() -> None:
    assert without_gap(0, [chunk(0), chunk(1)], 19).tokens == 10


def at(positions: torch.Tensor, keys: torch.Tensor, *, neox: bool) -> torch.Tensor:
    """Keys of shape (chunks, heads, tokens, width) that have no position, each chunk at its own."""
    cos, sin = COS_SIN[positions][:, None, None].chunk(2, dim=-1)
    x, y = keys.chunk(2, dim=-1) if neox else (keys[..., ::2], keys[..., 1::2])
    turned = (x * cos - y * sin, y * cos + x * sin)
    return torch.cat(turned, dim=-1) if neox else torch.stack(turned, dim=-1).flatten(-2)


@settings(deadline=None)
@given(
    moves=st.lists(st.tuples(st.integers(0, POSITIONS - 1), st.integers(0, POSITIONS - 1)), min_size=1, max_size=4),
    neox=st.booleans(),
)
def test_a_moved_key_is_the_key_of_the_new_position(moves: list[tuple[int, int]], neox: bool) -> None:
    plain = torch.randn(len(moves), 2, 3, WIDTH, generator=torch.Generator().manual_seed(len(moves)))
    old, new = torch.tensor(moves).T
    moved = rotated(at(old, plain, neox=neox), new - old, COS_SIN, neox=neox)
    torch.testing.assert_close(moved, at(new, plain, neox=neox), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("neox", [True, False])
def test_what_a_model_does_not_rotate_stays(neox: bool) -> None:
    keys = torch.randn(1, 1, 2, 2 * WIDTH, generator=torch.Generator().manual_seed(1))
    moved = rotated(keys, torch.tensor([5]), COS_SIN, neox=neox)
    assert torch.equal(moved[..., WIDTH:], keys[..., WIDTH:])
    assert not torch.equal(moved[..., :WIDTH], keys[..., :WIDTH])


def test_what_is_where_it_was_stays_as_it_is() -> None:
    keys = torch.randn(1, 1, 2, WIDTH, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    assert torch.equal(rotated(keys, torch.tensor([0]), COS_SIN, neox=True), keys)


def test_a_cache_that_also_scales_is_a_rotation() -> None:
    keys = torch.randn(1, 1, 2, WIDTH, generator=torch.Generator().manual_seed(1))
    plain, scaled = (rotated(keys, torch.tensor([7]), cache, neox=True) for cache in (COS_SIN, 1.2 * COS_SIN))
    torch.testing.assert_close(plain, scaled)
