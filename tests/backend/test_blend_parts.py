"""What the blend engine's two sides do without vLLM and LMCache: which chunks follow one another, and how keys move."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.lmcache_server.rotation import rotate
from backend.vllm_connector.kvasir_found import without_gap

HEAD, POSITIONS = 8, 64
ANGLES = torch.arange(POSITIONS)[:, None] / 10.0 ** (torch.arange(HEAD // 2) / 2)
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


def at(position: int, keys: torch.Tensor, *, neox: bool) -> torch.Tensor:
    """Keys of shape (layers, tokens, heads × width) without a position, at `position`."""
    cos, sin = COS_SIN[position].chunk(2)
    heads = keys.view(*keys.shape[:-1], -1, HEAD)
    x, y = heads.chunk(2, dim=-1) if neox else (heads[..., ::2], heads[..., 1::2])
    turned = (x * cos - y * sin, y * cos + x * sin)
    both = torch.cat(turned, dim=-1) if neox else torch.stack(turned, dim=-1)
    return both.reshape(keys.shape)


@given(old=st.integers(0, POSITIONS - 1), new=st.integers(0, POSITIONS - 1), neox=st.booleans())
def test_a_moved_key_is_the_key_of_the_new_position(old: int, new: int, neox: bool) -> None:
    plain = torch.randn(2, 3, 2 * HEAD, generator=torch.Generator().manual_seed(old * POSITIONS + new))
    moved = at(old, plain, neox=neox).contiguous()
    if old != new:
        rotate(moved, new - old, COS_SIN, HEAD, neox)
    torch.testing.assert_close(moved, at(new, plain, neox=neox), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("neox", [True, False])
def test_what_a_model_does_not_rotate_stays(neox: bool) -> None:
    keys = torch.randn(1, 2, 2 * HEAD, generator=torch.Generator().manual_seed(1))
    before = keys.clone().view(1, 2, 2, HEAD)
    half = torch.cat((ANGLES[:, : HEAD // 4].cos(), ANGLES[:, : HEAD // 4].sin()), dim=-1)
    rotate(keys, 5, half, HEAD, neox)
    after = keys.view(1, 2, 2, HEAD)
    assert torch.equal(after[..., HEAD // 2 :], before[..., HEAD // 2 :])
    assert not torch.equal(after[..., : HEAD // 2], before[..., : HEAD // 2])
