"""What a process of its own runs: takes what is queued through capture, and kills itself before the named step."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from backend.client import Completion, Message, Sampling
from evals.replay import SuiteReplay
from gateway.capture import Capture
from gateway.capture_worker import CaptureWorker
from gateway.core import open_core
from gateway.settings import AssistantSettings, DatasourceSettings, EngineSettings, Settings
from gateway.testing import ScriptedEngine


class Heeding(ScriptedEngine):
    """Follows the gotcha, if it is there. Kills its process at the Nth call where `fatal_step` is `trial N`."""

    def __init__(self, fatal_step: str) -> None:
        super().__init__()
        self._fatal_step = fatal_step

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        die_at(self._fatal_step, f"trial {len(self.calls) + 1}")
        column = "state" if "Use orders.state" in messages[0]["content"] else "status"
        self.enqueue(
            f"SELECT count(*) FROM orders AS o JOIN customers AS c ON c.id = o.buyer_id WHERE o.{column} = 'cancelled' "
            "AND o.created_at LIKE '2025%' AND o.deleted_at IS NULL AND c.is_test = 0"
        )
        return await super().complete(messages, sampling, cache_salt=cache_salt)


def die_at(fatal_step: str, step: str) -> None:
    if step == fatal_step:
        os.kill(os.getpid(), signal.SIGKILL)


def capture(state_url: str, datasource_url: str, fatal_step: str) -> None:
    core = open_core(
        Settings(
            home=Path("unused"),
            database_url=state_url,
            engines={"main": EngineSettings(model="scripted/engine")},
            datasources={"shop": DatasourceSettings(url=datasource_url)},
            assistants={"shop": AssistantSettings(kb="shop", datasource="shop", engine="main", verified_answers=True)},
        ),
        engines={"main": Heeding(fatal_step)},
    )
    steps = Capture(core, SuiteReplay(), before_step=lambda step: die_at(fatal_step, step))
    CaptureWorker(core, steps, lease_seconds=0.5).drain()
    core.close()
