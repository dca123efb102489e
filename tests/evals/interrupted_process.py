"""Run as a process of its own: `kvasir eval` over an engine that notes its calls in a file, and hangs at one of them.

python interrupted_process.py CALLS_FILE HANGS_AT ARGUMENTS…
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import gateway.core
from backend.client import Completion, Message, Sampling
from evals.cli import group
from gateway.testing import ScriptedEngine

calls, hangs_at = Path(sys.argv[1]), int(sys.argv[2])
open_core = gateway.core.open_core


class CountingEngine(ScriptedEngine):
    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        with calls.open("a") as file:
            file.write("call\n")
        if len(calls.read_text().splitlines()) == hangs_at:
            await asyncio.Event().wait()
        self.enqueue("SELECT 1")
        return await super().complete(messages, sampling, cache_salt=cache_salt)


gateway.core.open_core = lambda settings: open_core(settings, engines={"main": CountingEngine()})  # type: ignore
group(sys.argv[3:])
