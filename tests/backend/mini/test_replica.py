"""Two replicas, as processes on this CPU: the same weights as one that saw both texts, and one decision for all."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from backend.mini.replica import Replica, on_each


def gradients_of(replica: Replica) -> list[torch.nn.Parameter]:
    made = [
        torch.nn.Parameter(torch.zeros(2, 3)),
        torch.nn.Parameter(torch.zeros(4)),
        torch.nn.Parameter(torch.ones(1)),
    ]
    made[0].grad = torch.full((2, 3), float(replica.rank))
    made[1].grad = torch.arange(4.0) * (1 + replica.rank)
    return made


def exchange(replica: Replica, folder: Path) -> None:
    """What one replica does; its process writes what it found."""
    replica.join("gloo")
    parameters = gradients_of(replica)
    replica.average_gradients(parameters)
    told = replica.of_first(float(10 + replica.rank))
    torch.save([parameter.grad for parameter in parameters] + [told], folder / f"{replica.rank}.pt")
    replica.leave()


def test_gradients_become_the_mean_and_the_first_one_decides(tmp_path: Path) -> None:
    on_each(2, partial(exchange, folder=tmp_path))
    for rank in (0, 1):
        first, second, none, told = torch.load(tmp_path / f"{rank}.pt")
        assert torch.equal(first, torch.full((2, 3), 0.5))
        assert torch.equal(second, torch.arange(4.0) * 1.5)
        assert none is None
        assert told == 10.0


def test_one_replica_keeps_its_gradients_and_its_word() -> None:
    alone = Replica()
    parameters = gradients_of(alone)
    alone.average_gradients(parameters)
    assert parameters[1].grad is not None
    assert torch.equal(parameters[1].grad, torch.arange(4.0))
    assert alone.of_first(3.5) == 3.5
    assert alone.first
