"""What `kvasir backend up` tells the policies: one JSON text on LMCache's command line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend.tiers.use_case import TierRole, UseCase


@dataclass(frozen=True)
class TierSettings:
    """One L2 adapter of LMCache: the `adapter`-th of its `--l2-adapter`, from 0. `folder` is set where files count."""

    name: str
    role: TierRole
    adapter: int
    folder: Path | None = None
    cap_bytes: int | None = None


@dataclass(frozen=True)
class PolicySettings:
    """`model` is vLLM's `--model`; `state_dir` holds what must survive a restart; `profile` need not exist.

    `use_case` is that of prompts of which no note says it. `engine_url` is where vLLM answers, without a path.
    """

    model: str
    chunk_tokens: int
    state_dir: Path
    profile: Path
    tiers: tuple[TierSettings, ...]
    world_size: int = 1
    write_bytes_per_day: int | None = None
    use_case: UseCase | None = None
    engine_url: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)


def read_settings(text: str) -> PolicySettings:
    """Raises `ValueError`, `KeyError` or `TypeError` for a text that `to_json` did not write."""
    raw: dict[str, Any] = json.loads(text)
    tiers = tuple(
        TierSettings(**{**tier, "folder": Path(tier["folder"]) if tier["folder"] else None}) for tier in raw["tiers"]
    )
    paths = {"state_dir": Path(raw["state_dir"]), "profile": Path(raw["profile"])}
    return PolicySettings(**{**raw, **paths, "tiers": tiers})
