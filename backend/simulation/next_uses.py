"""When what is used will be used again, of uses in order."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.int64, np.float64)


def next_uses(runs: npt.NDArray[np.int64], times: npt.NDArray[Number], never: float) -> npt.NDArray[Number]:
    """For each use of a run, the time of its next one; `never` where there is none."""
    order = np.argsort(runs, kind="stable")
    same = runs[order[:-1]] == runs[order[1:]]
    following = np.full_like(times, never)
    following[order[:-1][same]] = times[order[1:][same]]
    return following
