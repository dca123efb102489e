"""What was measured on one machine with one model: the content of `profile.json`.

Only the standard library is used here, since this file is also read inside LMCache's process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from backend.errors import ProfileInvalid
from backend.tiers.cost import PrefillCost, TransferCost, break_even_tokens

FORMAT = 1
RAM = "ram"
"""The name of LMCache's own memory among the tiers; the others are named by the launch."""


@dataclass(frozen=True)
class Sample:
    """Measured seconds of prompts of one length, one for each repeat."""

    tokens: int
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class TierProfile:
    """One tier. `load` is felt by a request whose prefix lies there, all the way to the engine; `fetch` is the part
    of it that brings the KV into LMCache's memory (zero for the memory itself), and `store` the way back.

    Bandwidths are those of the medium without an engine, in bytes a second.
    """

    load: TransferCost
    fetch: TransferCost
    store: TransferCost
    load_samples: tuple[Sample, ...] = ()
    fetch_samples: tuple[Sample, ...] = ()
    store_samples: tuple[Sample, ...] = ()
    raw_read_bytes_per_second: float | None = None
    raw_write_bytes_per_second: float | None = None


@dataclass(frozen=True)
class Profile:
    """`model` is what vLLM was started with, by which LMCache names its objects."""

    model: str
    chunk_tokens: int
    kv_bytes_per_token: int
    prefill: PrefillCost
    tiers: Mapping[str, TierProfile]
    prefill_samples: tuple[Sample, ...] = ()
    gpu_hit_samples: tuple[Sample, ...] = ()
    tokenizer_tokens_per_second: float | None = None
    made_at: str = ""
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def break_even_tokens(self, tier: str) -> float | None:
        """The prefix length from which on `tier` beats recomputing; `None` where it never does."""
        return break_even_tokens(self.prefill, self.tiers[tier].load)

    def gain_seconds(self, tier: str, tokens: float) -> float:
        """What one reuse of a prefix of `tokens` tokens from `tier` saves; negative where recomputing is cheaper."""
        return self.prefill.saved_seconds(tokens) - self.tiers[tier].load.seconds(tokens)


def profile_json(profile: Profile) -> dict[str, Any]:
    """The form of the file. `break_even_tokens` is written for readers and derived again when read."""
    tiers = {
        name: {"break_even_tokens": profile.break_even_tokens(name), **asdict(tier)}
        for name, tier in profile.tiers.items()
    }
    plain = {key: value for key, value in vars(profile).items() if key not in ("prefill", "tiers", "versions")}
    for key in ("prefill_samples", "gpu_hit_samples"):
        plain[key] = [asdict(sample) for sample in plain[key]]
    return {
        "format": FORMAT,
        **plain,
        "versions": dict(profile.versions),
        "prefill": asdict(profile.prefill),
        "tiers": tiers,
    }


def read_profile(path: Path) -> Profile:
    """Raises `ProfileInvalid` for a file that is absent, of another format, or incomplete."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT:
            raise ProfileInvalid(path, f"has format {raw['format']}, and this release reads {FORMAT}")
        return _profile(raw)
    except OSError as exc:
        raise ProfileInvalid(path, f"cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise ProfileInvalid(path, f"is not a profile: {exc!r}") from exc


def _profile(raw: dict[str, Any]) -> Profile:
    return Profile(
        model=raw["model"],
        chunk_tokens=int(raw["chunk_tokens"]),
        kv_bytes_per_token=int(raw["kv_bytes_per_token"]),
        prefill=PrefillCost(**_numbers(raw["prefill"])),
        tiers={name: _tier(tier) for name, tier in raw["tiers"].items()},
        prefill_samples=_samples(raw["prefill_samples"]),
        gpu_hit_samples=_samples(raw["gpu_hit_samples"]),
        tokenizer_tokens_per_second=raw["tokenizer_tokens_per_second"],
        made_at=raw["made_at"],
        versions=raw["versions"],
    )


def _tier(raw: dict[str, Any]) -> TierProfile:
    load, fetch, store = (TransferCost(**_numbers(raw[name])) for name in ("load", "fetch", "store"))
    return TierProfile(
        load,
        fetch,
        store,
        load_samples=_samples(raw["load_samples"]),
        fetch_samples=_samples(raw["fetch_samples"]),
        store_samples=_samples(raw["store_samples"]),
        raw_read_bytes_per_second=raw["raw_read_bytes_per_second"],
        raw_write_bytes_per_second=raw["raw_write_bytes_per_second"],
    )


def _numbers(raw: dict[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in raw.items()}
    for name, value in numbers.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value}, and a cost is a number of at least 0")
    return numbers


def _samples(raw: list[dict[str, Any]]) -> tuple[Sample, ...]:
    return tuple(Sample(int(one["tokens"]), tuple(one["seconds"])) for one in raw)
