"""What a process of its own runs: takes back what a proposal landed, and kills itself before the named step."""

from __future__ import annotations

from pathlib import Path

from gateway.core import open_core
from gateway.reverting import revert
from gateway.settings import AssistantSettings, Settings

from .capture_process import die_at


def take_back(state_url: str, proposal_id: str, fatal_step: str) -> None:
    core = open_core(
        Settings(home=Path("unused"), database_url=state_url, assistants={"shop": AssistantSettings(kb="shop")})
    )
    revert(core, "default", proposal_id, "cy", before_step=lambda step: die_at(fatal_step, step))
    core.close()
