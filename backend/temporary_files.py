"""Files in a part's own folder for temporary files that it leaves behind.

vLLM's processes find each other by a file `vllm_dist_…`, a new one at each start, which none of them deletes. The rest
of the folder stays: it may hold what the next start would otherwise compile again.
"""

from __future__ import annotations

from pathlib import Path

from backend.plan import Part

_LEFT_BEHIND = "vllm_dist_*"


def make_temporary_folder(part: Part) -> None:
    """Where the part is told to have one of its own."""
    if folder := _folder(part):
        folder.mkdir(parents=True, exist_ok=True)


def remove_temporary_files(part: Part) -> None:
    """Once all of its processes have ended."""
    if folder := _folder(part):
        for path in folder.glob(_LEFT_BEHIND):
            path.unlink(missing_ok=True)


def _folder(part: Part) -> Path | None:
    folder = part.env.get("TMPDIR")
    return Path(folder) if folder else None
