"""A profile whose curves are easy to compute by hand."""

from __future__ import annotations

import pytest

from backend.tiers.cost import PrefillCost, TransferCost
from backend.tiers.profile import Profile, Sample, TierProfile

NOTHING = TransferCost(0.0, 0.0)


@pytest.fixture
def profile() -> Profile:
    """Prefill: 1 ms a token. RAM: 10 ms and 0.1 ms a token. Disk: 100 ms and 0.5 ms a token, of which half a fetch."""
    return Profile(
        model="/models/m",
        chunk_tokens=100,
        kv_bytes_per_token=1000,
        prefill=PrefillCost(0.05, 0.001, 0.0),
        tiers={
            "ram": TierProfile(TransferCost(0.01, 0.0001), NOTHING, NOTHING),
            "disk": TierProfile(
                TransferCost(0.1, 0.0005),
                fetch=TransferCost(0.05, 0.00025),
                store=TransferCost(0.0, 0.0002),
                load_samples=(Sample(100, (0.15, 0.16)),),
                raw_read_bytes_per_second=2e9,
            ),
        },
        prefill_samples=(Sample(100, (0.15,)),),
        tokenizer_tokens_per_second=1e6,
        made_at="2026-11-28T12:00:00+00:00",
        versions={"vllm": "0.32.0"},
    )
