"""Disk growth: a tier without a cap, with one that the disk cannot hold, or rewritten every day."""

from __future__ import annotations

import math

from backend.doctor.finding import Figure, Finding
from backend.doctor.readings import Readings

_DAY_SECONDS = 86_400.0
_GB = 1e9


def disk_growth(readings: Readings) -> Finding | None:
    disk = readings.after.disk
    if disk is None:
        return None
    tiers = readings.after.tiers or {}
    caps = [tier for tier in (tiers.get("disk") or {}).values() if tier["cap_bytes"]]
    if readings.after.tiers is None and readings.options.policy:
        return None  # the policies hold a cap, and did not tell which
    if not caps:
        return _uncapped(readings)
    cap = float(caps[0]["cap_bytes"])
    if cap - disk.used_bytes > disk.free_bytes:
        return _beyond_the_disk(readings, cap)
    written = float((tiers.get("write_budget") or {}).get("used_bytes") or 0)
    return _rewritten(readings, cap, written) if written >= cap else None


def _uncapped(readings: Readings) -> Finding | None:
    before, after = readings.before.disk, readings.after.disk
    if before is None or after is None or after.used_bytes <= before.used_bytes:
        return None
    per_day = (after.used_bytes - before.used_bytes) / readings.seconds * _DAY_SECONDS
    return Finding(
        "disk-growth",
        "The disk tier grows, and nothing bounds it.",
        (
            Figure("growth at the rate of the window", per_day, "bytes a day", limit=0, origin="there is no cap"),
            Figure("bytes in the folder", after.used_bytes),
            Figure("bytes free on the disk", after.free_bytes),
            Figure("days until the disk is full", after.free_bytes / per_day),
        ),
        "LMCache runs without Kvasir's policies, which hold a cap.",
        (readings.restart("--policy", "--disk-gb", _room(readings)),),
    )


def _beyond_the_disk(readings: Readings, cap: float) -> Finding:
    disk = readings.after.disk
    assert disk is not None
    return Finding(
        "disk-growth",
        "The disk is full before the tier reaches its cap.",
        (
            Figure("bytes that the cap still allows", cap - disk.used_bytes, limit=disk.free_bytes, origin="free"),
            Figure("bytes free on the disk", disk.free_bytes),
            Figure("cap", cap, "bytes"),
        ),
        "Others use this disk, too, or the cap was set for a larger one. A full disk fails writes of all of them.",
        (readings.restart("--disk-gb", _room(readings)),),
    )


def _rewritten(readings: Readings, cap: float, written: float) -> Finding:
    disk = readings.after.disk
    assert disk is not None
    wanted = 2 * written / _GB
    if wanted * _GB <= disk.used_bytes + disk.free_bytes / 2:
        advice, options = "Give it room for two days", ("--disk-gb", f"{_rounded(wanted):g}")
    else:
        advice = "The disk has no room for more: bound what is written, and only what recurs most will be"
        options = ("--disk-writes-gb-per-day", f"{_rounded(cap / 2 / _GB):g}")
    return Finding(
        "disk-growth",
        "The disk tier is at its cap, and all of it is rewritten within a day.",
        (
            Figure("bytes written in the last 24 hours", written, limit=cap, origin="the cap: nothing stays for a day"),
            Figure("bytes in the folder", disk.used_bytes),
            Figure("cap", cap, "bytes"),
            Figure("files that had to give way since the start", _evicted_files(readings)),
        ),
        f"What is written today is gone tomorrow, and flash wears out by what is written. {advice}.",
        (readings.restart(*options),),
    )


def _evicted_files(readings: Readings) -> float:
    return float(((readings.after.tiers or {}).get("counts") or {}).get("evicted_files") or 0)


def _room(readings: Readings) -> str:
    """What is there and half of what is free, in GB."""
    disk = readings.after.disk
    assert disk is not None
    return f"{_rounded((disk.used_bytes + disk.free_bytes / 2) / _GB):g}"


def _rounded(gigabytes: float) -> float:
    """Two digits, upwards."""
    if gigabytes <= 0:
        return 0.001
    unit = 10.0 ** (math.floor(math.log10(gigabytes)) - 1)
    return math.ceil(gigabytes / unit) * unit
