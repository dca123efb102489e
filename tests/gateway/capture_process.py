"""Run as a process of its own: takes what is queued through capture, and kills itself before the named step.

python capture_process.py STATE_URL DATASOURCE_URL STEP

A step `trial N` kills it where its engine is asked for the Nth time. The engine answers right where a gotcha says so.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from backend.client import Completion, Message, Sampling
from evals.replay import SuiteReplay
from gateway.capture import Capture
from gateway.capture_worker import CaptureWorker
from gateway.core import open_core
from gateway.settings import AssistantSettings, DatasourceSettings, EngineSettings, Settings
from gateway.testing import ScriptedEngine

state_url, datasource_url, fatal_step = sys.argv[1:]


def die_before(step: str) -> None:
    if step == fatal_step:
        os.kill(os.getpid(), signal.SIGKILL)


class Heeding(ScriptedEngine):
    """Follows the gotcha, if it is there."""

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        die_before(f"trial {len(self.calls) + 1}")
        column = "state" if "Use orders.state" in messages[0]["content"] else "status"
        self.enqueue(
            f"SELECT count(*) FROM orders AS o JOIN customers AS c ON c.id = o.buyer_id WHERE o.{column} = 'cancelled' "
            "AND o.created_at LIKE '2025%' AND o.deleted_at IS NULL AND c.is_test = 0"
        )
        return await super().complete(messages, sampling, cache_salt=cache_salt)


core = open_core(
    Settings(
        home=Path("unused"),
        database_url=state_url,
        engines={"main": EngineSettings(model="scripted/engine")},
        datasources={"shop": DatasourceSettings(url=datasource_url)},
        assistants={"shop": AssistantSettings(kb="shop", datasource="shop", engine="main", verified_answers=True)},
    ),
    engines={"main": Heeding()},
)
CaptureWorker(core, Capture(core, SuiteReplay(), before_step=die_before), lease_seconds=0.5).drain()
core.close()
