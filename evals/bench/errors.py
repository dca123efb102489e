"""Why a benchmark could not measure, as a tree.

EvalError                (evals.errors)
└── BenchUnavailable     what it measures with is not here; exit code 3
    └── DataUnavailable  a data file is missing or is not what it should be

A figure that falls short of what was asked is a result, never an error.
"""

from __future__ import annotations

from pathlib import Path

from evals.errors import EvalError


class BenchUnavailable(EvalError):
    """Base of what keeps a benchmark from measuring."""


class DataUnavailable(BenchUnavailable):
    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(
            f"{path}: {problem}; set KVASIR_DATA to the folder of the benchmark data, as docs/benchmarks.md lists it"
        )
