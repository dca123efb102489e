"""SQL in Markdown: a ```sql fence that holds any text exactly.

The fence is longer than every run of backticks it stands beside, so what was written is what is read. Source:
CommonMark 0.31, "Fenced code blocks".
"""

from __future__ import annotations

import re

_RUN = re.compile("`+")
_CLOSING = re.compile("`{3,}")


def fenced(text: str, beside: str = "") -> str:
    """`text` in a fence that neither it nor the prose `beside` it can be taken for. No final newline."""
    longest = max((len(run) for run in _RUN.findall(f"{text}\n{beside}")), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}sql\n{text}\n{ticks}"


def split_fence(markdown: str) -> tuple[str, str | None]:
    """The prose before the ```sql fence that ends `markdown`, and the fence's text; `None` where none ends it."""
    whole = markdown.rstrip()
    inside, _, closing = whole.rpartition("\n")
    if not inside or not _CLOSING.fullmatch(closing):
        return markdown, None
    inside += "\n"
    openings = list(re.finditer(rf"^{closing} ?sql[ \t]*\n", inside, re.MULTILINE | re.IGNORECASE))
    if not openings:
        return markdown, None
    prose, text = inside[: openings[-1].start()], inside[openings[-1].end() :]
    return prose.removesuffix("\n").removesuffix("\n"), text.removesuffix("\n")
