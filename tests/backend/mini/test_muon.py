"""Muon's updates are orthogonal, of AdamW's size, and the same whether matrices are taken together or alone."""

from __future__ import annotations

import pytest
import torch

from backend.mini.muon import Muon, orthogonal


def random_matrices(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def parameter(values: torch.Tensor, gradient: torch.Tensor) -> torch.nn.Parameter:
    made = torch.nn.Parameter(values.clone())
    made.grad = gradient.clone()
    return made


@pytest.mark.parametrize("shape", [(3, 24, 64), (3, 64, 24), (2, 32, 32)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, ...]) -> None:
    matrices = random_matrices(*shape)
    made = orthogonal(matrices).float()
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.3
    assert values.max() < 1.4
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    cosine = torch.nn.functional.cosine_similarity(made.flatten(), (left @ right).flatten(), dim=0)
    assert cosine > 0.95


def test_an_update_has_the_size_of_adamws() -> None:
    matrix = parameter(torch.zeros(48, 16), random_matrices(48, 16))
    Muon([matrix], momentum=0.9, weight_decay=0.0).step(0.01)
    change = matrix.detach().square().mean().sqrt().item()
    assert change == pytest.approx(0.2 * 0.01, rel=0.25)


def test_matrices_of_one_shape_do_not_touch_each_other() -> None:
    gradients = random_matrices(2, 16, 16)
    together = [parameter(torch.zeros(16, 16), gradient) for gradient in gradients]
    Muon(together, momentum=0.9, weight_decay=0.0).step(0.01)
    for matrix, gradient in zip(together, gradients, strict=True):
        alone = parameter(torch.zeros(16, 16), gradient)
        Muon([alone], momentum=0.9, weight_decay=0.0).step(0.01)
        assert torch.allclose(matrix, alone, atol=1e-5)


def test_weights_decay_apart_from_the_gradient() -> None:
    gradient = random_matrices(8, 8)
    kept, decayed = parameter(torch.ones(8, 8), gradient), parameter(torch.ones(8, 8), gradient)
    Muon([kept], momentum=0.9, weight_decay=0.0).step(0.1)
    Muon([decayed], momentum=0.9, weight_decay=0.5).step(0.1)
    assert torch.allclose(kept - decayed, torch.full((8, 8), 0.05), atol=1e-5)


def test_a_saved_state_of_other_shapes_is_refused() -> None:
    small = Muon([parameter(torch.zeros(4, 4), torch.ones(4, 4))], momentum=0.9, weight_decay=0.0)
    large = Muon([parameter(torch.zeros(8, 8), torch.ones(8, 8))], momentum=0.9, weight_decay=0.0)
    with pytest.raises(ValueError, match="shapes"):
        large.load(small.state())
