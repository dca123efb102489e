"""Muon (Jordan et al. 2024): momentum whose matrices are orthogonalised before they are applied.

torch has a Muon, which goes through the matrices one by one; a model as small as this one then waits for the launches
of some thousand kernels a step. Here all matrices of a shape are one batch. An update is scaled to the size that
AdamW's have (Liu et al. 2025), so that both share learning rates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

_QUINTIC = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_ADAMW_UPDATE = 0.2
"""The root mean square of what AdamW changes, in learning rates."""


class Muon:
    """For matrices alone; embeddings, norms and biases belong to another optimiser. Changes `matrices` in place."""

    def __init__(self, matrices: Sequence[torch.nn.Parameter], *, momentum: float, weight_decay: float) -> None:
        self._momentum, self._weight_decay = momentum, weight_decay
        by_shape: dict[tuple[int, ...], list[torch.Tensor]] = {}
        for matrix in matrices:
            by_shape.setdefault(tuple(matrix.shape), []).append(matrix)
        self._groups = list(by_shape.values())
        self._averages = [torch.zeros(len(group), *group[0].shape, device=group[0].device) for group in self._groups]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        for group, average in zip(self._groups, self._averages, strict=True):
            gradients = torch.stack([_gradient(matrix) for matrix in group])
            average.lerp_(gradients, 1 - self._momentum)
            update = orthogonal(gradients.lerp_(average, self._momentum))
            size = _ADAMW_UPDATE * max(update.shape[-2:]) ** 0.5 * learning_rate
            torch._foreach_mul_(group, 1 - learning_rate * self._weight_decay)
            torch._foreach_add_(group, list(update.to(average.dtype).unbind()), alpha=-size)

    def state(self) -> list[torch.Tensor]:
        return self._averages

    def load(self, state: Sequence[torch.Tensor]) -> None:
        """Raises `ValueError` where the shapes are not those of these matrices."""
        shapes, given = ([tuple(each.shape) for each in tensors] for tensors in (self._averages, state))
        if shapes != given:
            raise ValueError(f"the state is of matrices of the shapes {given}, and these have {shapes}")
        for average, saved in zip(self._averages, state, strict=True):
            average.copy_(saved)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """(count, rows, columns) → the same in bfloat16, singular values brought near 1 by a Newton–Schulz iteration."""
    a, b, c = _QUINTIC
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: torch.Tensor = x.mT if tall else x
    return found


def _gradient(matrix: torch.Tensor) -> torch.Tensor:
    assert matrix.grad is not None, "a step follows a backward pass"
    return matrix.grad
