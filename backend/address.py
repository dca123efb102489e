"""A server's address, as it may be shown: a user and a password may stand in it."""

from __future__ import annotations

import re


def without_credentials(url: str) -> str:
    """The same, with `…` in the place of what stands before the host."""
    return re.sub("//[^/]*@", "//…@", url)
