"""Which names a base, a branch or a tag may have."""

from __future__ import annotations

import re

from kb.errors import InvalidName

MAIN = "main"
"""The branch that every base has."""

FULL_DIGITS = 64
COMMIT_DIGITS = re.compile(rf"[0-9a-f]{{4,{FULL_DIGITS}}}\Z")
"""A commit's id, or its beginning."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}\Z")


def check_base_name(name: str) -> None:
    """Raises `InvalidName`."""
    if not _NAME.match(name) or "/" in name:
        raise InvalidName("knowledge base", name)


def check_ref_name(what: str, name: str) -> None:
    """Raises `InvalidName` for a `what`: a branch or a tag."""
    # What reads as an abbreviated commit id would hide that commit.
    if not _NAME.match(name) or COMMIT_DIGITS.match(name) or name == "HEAD":
        raise InvalidName(what, name)
