"""From when on: a point in time or how long ago, as a person writes it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from gateway.errors import BadRequest

_AGO = re.compile(r"(\d+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since_time(text: str, now: datetime) -> str:
    """`30m`, `24h`, `7d`, `2w`, a date or an ISO time, as the times of traces are written, in UTC.

    A time without a zone is UTC. Raises `BadRequest`.
    """
    ago = _AGO.fullmatch(text)
    try:
        at = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as exc:
        raise BadRequest(
            f"since: '{text}' is no time; write how long ago (30m, 24h, 7d, 2w), a date (2026-11-28) or an ISO time",
            "since",
        ) from exc
