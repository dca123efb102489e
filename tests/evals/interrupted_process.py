"""What a process of its own runs: `kvasir eval` over an engine that notes its calls, and hangs at one of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import gateway.core
from backend.client import Completion, Message, Sampling
from evals.cli import group
from gateway.testing import ScriptedEngine


class CountingEngine(ScriptedEngine):
    """Each call is a line of the file `calls`."""

    def __init__(self, calls: Path, hangs_at: int) -> None:
        super().__init__()
        self._file, self._hangs_at = calls, hangs_at

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        with self._file.open("a") as file:
            file.write("call\n")
        if len(self._file.read_text().splitlines()) == self._hangs_at:
            await asyncio.Event().wait()
        self.enqueue("SELECT 1")
        return await super().complete(messages, sampling, cache_salt=cache_salt)


def evaluate(calls: Path, hangs_at: int, arguments: Sequence[str], stdout: Path, stderr: Path) -> None:
    """Exits as the command does, with what it printed in the two files."""
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    open_core = gateway.core.open_core
    gateway.core.open_core = lambda settings: open_core(  # type: ignore
        settings, engines={"main": CountingEngine(calls, hangs_at)}
    )
    group(arguments)
