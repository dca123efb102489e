"""Why a benchmark could not measure, as a tree.

EvalError                   (evals.errors)
└── BenchUnavailable        what it measures with is not here; exit code 3
    ├── DataUnavailable     a data file is missing or is not what it should be
    ├── ShopUnavailable     the example shop is not there
    ├── EngineFailed        an engine that should answer questions did not
    ├── ModelUnavailable    the model to measure is not there
    ├── AnswersUnavailable  answers that cannot be made here are not in the answers file
    ├── ResultUnreadable    a file to draw from holds no result that can be drawn
    ├── KeptUnreadable      a file of kept pieces is not one
    ├── ReplicaEnded        the second process of a benchmark ended before it was done
    ├── EngineUnavailable   the Python that has vLLM is not there
    ├── EngineDidNotReport  vLLM ended, or took too long, before it said what it was asked for
    ├── CoresTooFew         the process that is measured cannot have a core of its own
    ├── ServerDidNotStart   a server of a benchmark ended, or took too long, before it answered
    ├── LoadFailed          a server of a benchmark did not give the answer of its engine
    └── PlotUnavailable     a plot cannot be drawn or written

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


class ShopUnavailable(BenchUnavailable):
    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(
            f"{path}: {problem}; run kvasir bench from a checkout of the repository, which has it, "
            "or leave the shop out with --set geography"
        )


class EngineFailed(BenchUnavailable):
    """`problem` is all of the message, so that it comes whole out of another process."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class ModelUnavailable(BenchUnavailable):
    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path}: {problem}; name a model folder with --model, or make one: docs/reference-model.md")


class AnswersUnavailable(BenchUnavailable):
    def __init__(self, decoding: str, missing: int, library: str) -> None:
        self.decoding, self.missing, self.library = decoding, missing, library
        super().__init__(
            f"{missing} {decoding} answers are not in the answers file, and {library}, which they need, is not here; "
            f"install it, or leave out --decoding {decoding}"
        )


class ResultUnreadable(BenchUnavailable):
    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path}: {problem}; make one with kvasir bench mini --only curve --json > {path}")


class KeptUnreadable(BenchUnavailable):
    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path}: {problem}; name another file with --keep, and everything is measured anew")


class PlotUnavailable(BenchUnavailable):
    def __init__(self, problem: str) -> None:
        super().__init__(problem)


class EngineUnavailable(BenchUnavailable):
    def __init__(self, problem: str) -> None:
        super().__init__(problem)


class EngineDidNotReport(BenchUnavailable):
    """`tail` holds lines of the engine's log that say why, or its last ones."""

    def __init__(self, model: str, problem: str, tail: tuple[str, ...]) -> None:
        self.model, self.problem, self.tail = model, problem, tail
        lines = "\n".join(f"  | {line}" for line in tail) or "  | (empty)"
        super().__init__(f"vLLM with '{model}' {problem} before it reported its KV cache:\n{lines}")


class ReplicaEnded(BenchUnavailable):
    def __init__(self, commit: str) -> None:
        self.commit = commit
        super().__init__(f"the replica ended before it had commit {commit[:12]}; what it printed above says why")


class CoresTooFew(BenchUnavailable):
    def __init__(self, cores: int) -> None:
        self.cores = cores
        super().__init__(
            f"this process may use {cores} core; two are needed, one for what is measured and one for the rest"
        )


class ServerDidNotStart(BenchUnavailable):
    def __init__(self, name: str, log: str) -> None:
        self.name, self.log = name, log
        super().__init__(f"{name} did not start; the end of its log:\n{log or '(empty)'}")


class LoadFailed(BenchUnavailable):
    def __init__(self, target: str, problem: str) -> None:
        self.target, self.problem = target, problem
        super().__init__(f"{target} did not give the mock engine's answer: {problem}")
