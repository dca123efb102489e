"""Run as a process of its own: commits a rule that lands warm, and kills itself while it is warmed.

python landing_process.py STATE_URL CACHE_URL kill|none
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from backend.client import Completion, Message, Sampling
from gateway.core import open_core
from gateway.settings import AssistantSettings, EngineSettings, Settings
from gateway.testing import ScriptedEngine
from gateway.warm_landing import warm_landings
from kb.items import Item, Rule
from kb.knowledge_base import Changes

state_url, cache_url, fatal = sys.argv[1:]


class Fatal(ScriptedEngine):
    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        if fatal == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        self.enqueue("SELECT 1")
        return await super().complete(messages, sampling, cache_salt=cache_salt)


settings = Settings(
    home=Path("unused"),
    database_url=state_url,
    engines={"main": EngineSettings(model="scripted/engine", cache_url=cache_url, warm_seconds=300)},
    assistants={"shop": AssistantSettings(kb="shop", engine="main")},
)
core = warm_landings(open_core(settings, engines={"main": Fatal()}))
rule = Item("rule:days", "Days", Rule("Lead times are in days."))
core.base("default", "shop").commit(Changes(put=(rule,)), author="test", message="Land")
core.close()
