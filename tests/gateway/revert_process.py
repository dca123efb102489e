"""Run as a process of its own: takes back what a proposal landed, and kills itself before the named step.

python revert_process.py STATE_URL PROPOSAL_ID STEP
"""

import os
import signal
import sys
from pathlib import Path

from gateway.core import open_core
from gateway.reverting import revert
from gateway.settings import AssistantSettings, Settings

state_url, proposal_id, fatal_step = sys.argv[1:]


def die_before(step: str) -> None:
    if step == fatal_step:
        os.kill(os.getpid(), signal.SIGKILL)


core = open_core(
    Settings(home=Path("unused"), database_url=state_url, assistants={"shop": AssistantSettings(kb="shop")})
)
revert(core, "default", proposal_id, "cy", before_step=die_before)
core.close()
