"""Who runs a command, as commits, confirmations and baselines name them."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that no name belongs to.
        return f"uid {os.getuid()}"
