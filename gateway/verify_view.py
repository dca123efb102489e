"""What `verify` found, as it is shown over HTTP and by `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kb.verify import Verification


def verify_view(found: Verification) -> dict[str, Any]:
    problems = [{**asdict(problem), "dangling_ref": problem.dangling_ref} for problem in found.problems]
    return {"clean": found.clean, "checked": found.checked, "problems": problems}
