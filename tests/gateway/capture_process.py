"""Run as a process of its own: takes what is queued through capture, and kills itself before the named step.

python capture_process.py STATE_URL DATASOURCE_URL STEP
"""

import os
import signal
import sys
from pathlib import Path

from evals.replay import SuiteReplay
from gateway.capture import Capture
from gateway.capture_worker import CaptureWorker
from gateway.core import open_core
from gateway.settings import AssistantSettings, DatasourceSettings, Settings

state_url, datasource_url, fatal_step = sys.argv[1:]


def die_before(step: str) -> None:
    if step == fatal_step:
        os.kill(os.getpid(), signal.SIGKILL)


core = open_core(
    Settings(
        home=Path("unused"),
        database_url=state_url,
        datasources={"shop": DatasourceSettings(url=datasource_url)},
        assistants={"shop": AssistantSettings(kb="shop", datasource="shop", verified_answers=True)},
    )
)
CaptureWorker(core, Capture(core, SuiteReplay(), before_step=die_before), lease_seconds=0.5).drain()
core.close()
