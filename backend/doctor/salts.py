"""A salt that splits the cache: the same tokens are asked for, and kept, under several salts."""

from __future__ import annotations

from backend.doctor.finding import Figure, Finding
from backend.doctor.load import computed_tokens
from backend.doctor.readings import Readings
from backend.doctor.thresholds import least_tokens, noticeable_share

_SHOWN = 10


def salts_split_the_cache(readings: Readings) -> Finding | None:
    computed = computed_tokens(readings)
    split = min(readings.grew_in_tiers("observed", "repeats", "other_salt") * readings.chunk_tokens, computed)
    share, least = noticeable_share(readings.profile), least_tokens(readings)
    if not computed or split < least.value or split / computed < share.value:
        return None
    asked = readings.grew_by("cache", "cache_salt", "lmcache_mp_lookup_requested_tokens_total")
    gateway = readings.after.gateway
    tenants = set(gateway.by("tenant", "kvasir_prompt_tokens_total")) if gateway else set()
    strangers = sorted(set(asked) - tenants)
    if tenants and not strangers:  # each is a tenant of the gateway: kept apart on purpose
        return None
    return Finding(
        "salts-split-cache",
        "The same tokens are computed and kept once for each of several salts.",
        (
            Figure("tokens computed that another salt had", split, limit=least.value, origin=least.origin),
            Figure("their share of all computed", split / computed, limit=share.value, origin=share.origin),
            Figure("salts in the window", len(asked)),
        ),
        "Where salts are tenants, this is what keeping them apart costs. A salt for a session, a user or a class of "
        f"requests only costs: send the tenant's, and say the rest in a note to {readings.cache_url}/kvasir/notes. Or "
        "ask through the gateway, which uses one salt for each tenant.",
        ("kvasir serve --config kvasir.toml",),
        tuple(f"salt {salt!r}: {asked[salt]:.0f} tokens asked" for salt in strangers[:_SHOWN]),
    )
