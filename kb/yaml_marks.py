"""Where a YAML text is wrong, and how deep it may nest: what every reader of YAML here shares."""

from __future__ import annotations

import yaml

MAX_DEPTH = 100


def wrong_line(exc: yaml.MarkedYAMLError, text: str) -> int | None:
    """The line of `text`, from 0, that the error is about; `None` where it does not say."""
    mark = exc.problem_mark or exc.context_mark
    if exc.context_mark and mark and mark.line >= text.count("\n"):
        # Something was left open until the end; where it was opened says more.
        mark = exc.context_mark
    return mark.line if mark else None
