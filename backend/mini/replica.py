"""One of the processes that train together, each on a GPU and on text of its own; alone, nothing is exchanged."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn


class Replica:
    """`rank` of `count`. All hold the same weights, since they start alike and apply the same mean gradients."""

    def __init__(self, rank: int = 0, count: int = 1, port: int = 0) -> None:
        self.rank, self.count, self._port = rank, count, port

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Each gradient becomes the mean over all replicas."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.count == 1:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.count
        whole = torch.split(flat, [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(own) for part, own in zip(whole, gradients, strict=True)])

    def of_first(self, value: float) -> float:
        """The first replica's `value`, so that all take the same decision."""
        if self.count == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64)
        distributed.broadcast(told, 0, group=self._clock)
        return float(told)

    def join(self, backend: str) -> None:
        """Meet the others. `backend` is torch.distributed's: "nccl" between GPUs, "gloo" between CPUs."""
        if self.count == 1:
            return
        meeting = f"tcp://127.0.0.1:{self._port}"
        distributed.init_process_group(backend, meeting, rank=self.rank, world_size=self.count)
        # Over CPUs, so that a GPU need not be waited for.
        self._clock = distributed.new_group(backend="gloo")

    def leave(self) -> None:
        if self.count > 1:
            distributed.barrier()
            distributed.destroy_process_group()


def on_each(count: int, work: Callable[[Replica], None]) -> None:
    """Call `work` once a replica: here for one, else in `count` processes. `work` has to be picklable."""
    if count == 1:
        work(Replica())
    else:
        spawn(_call, (count, _free_port(), work), nprocs=count)  # type: ignore[no-untyped-call]


def _call(rank: int, count: int, port: int, work: Callable[[Replica], None]) -> None:
    work(Replica(rank, count, port))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
