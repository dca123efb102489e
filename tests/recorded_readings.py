"""Readings of the doctor as files: written by `tests/engine/test_doctor.py` where KVASIR_RECORD_READINGS names a
folder, and read by `tests/backend/doctor`, so that rules are judged without an engine by what one really said.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from backend.doctor.metrics import Metrics, Series
from backend.doctor.readings import DiskUse, Readings, Sample
from backend.plan import LaunchOptions

FOLDER = Path(__file__).parent / "backend" / "doctor" / "recorded"
# Only the metrics that rules read, so that the files stay small.
_KEPT = (
    "vllm:request_prompt_tokens_",
    "vllm:request_generation_tokens_",
    "vllm:request_inference_time_",
    "vllm:request_queue_time_",
    "vllm:request_prefill_",
    "vllm:cache_config_info",
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_by_source_total",
    "vllm:prefix_cache_hits_total",
    "vllm:external_prefix_cache_hits_total",
    "vllm:num_preemptions_total",
    "http_requests_total",
    "http_request_size_bytes_sum",
    "lmcache_mp_lookup_requested_tokens_total",
    "lmcache_mp_lookup_hit_l2_tokens_total",
    "lmcache_mp_l1_write_chunks_total",
)
_KEPT_LABELS = {"handler", "status", "source", "cache_salt", "kv_cache_size_tokens", "num_gpu_blocks"} | {
    "enable_prefix_caching"
}
_PATHS = ("model", "kv_dir")


def save(readings: Readings, name: str, folder: Path) -> None:
    """Paths of the machine are left out."""
    options = {key: value for key, value in asdict(readings.options).items() if key not in _PATHS}
    data = {
        "options": options,
        "before": _sample_json(readings.before),
        "after": _sample_json(readings.after),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(data) + "\n", encoding="utf-8")


def load(name: str) -> Readings:
    data = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    options = {**data["options"], "engine_args": tuple(data["options"]["engine_args"])}
    return Readings(_sample(data["before"]), _sample(data["after"]), LaunchOptions(model=Path("model"), **options))


def without(sample: Sample, *names: str) -> Sample:
    return replace(sample, **dict.fromkeys(names))


def _sample_json(sample: Sample) -> dict[str, Any]:
    plain = {field.name: getattr(sample, field.name) for field in fields(sample)}
    for page in ("engine", "cache", "gateway"):
        plain[page] = None if plain[page] is None else [_series_json(one) for one in plain[page].series if _kept(one)]
    if sample.disk is not None:
        plain["disk"] = {"used_bytes": sample.disk.used_bytes, "free_bytes": sample.disk.free_bytes}
    if sample.tiers is not None:
        kept = ("gates", "disk", "write_budget", "counts", "observed", "chunk_bytes")
        plain["tiers"] = {key: sample.tiers[key] for key in kept}
    plain["transfers"] = list(sample.transfers)
    return plain


def _series_json(one: Series) -> list[Any]:
    return [one.name, {key: value for key, value in one.labels.items() if key in _KEPT_LABELS}, one.value]


def _kept(one: Series) -> bool:
    return one.name.startswith(_KEPT)


def _sample(plain: dict[str, Any]) -> Sample:
    pages = {
        page: None if plain[page] is None else Metrics(tuple(Series(*one) for one in plain[page]))
        for page in ("engine", "cache", "gateway")
    }
    disk = None if plain["disk"] is None else DiskUse(Path("kv"), **plain["disk"])
    return Sample(**{**plain, **pages, "disk": disk, "transfers": tuple(plain["transfers"])})
