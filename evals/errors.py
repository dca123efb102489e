"""What can go wrong in the regression harness, as a tree.

GatewayError                 (gateway.errors): the gateway's worker runs replays and handles their errors by this name
└── EvalError
    ├── SuiteNotFound        no readable file at the suite's path
    └── SuiteInvalid         a suite breaks the format; names file, line, case and field

A case that fails or cannot be judged is a result, never an error.
"""

from __future__ import annotations

from gateway.errors import GatewayError


class EvalError(GatewayError):
    """Base of all errors of `evals`."""


class SuiteNotFound(EvalError):
    def __init__(self, path: str, problem: str, assistant: str | None = None) -> None:
        self.path, self.assistant = path, assistant
        fix = f"correct suite under [assistants.{assistant}] in kvasir.toml" if assistant else "give the path of a file"
        super().__init__(f"suite '{path}' cannot be read ({problem}); {fix}, in the format of docs/evals.md")


class SuiteInvalid(EvalError):
    """`line` counts from 1; `case` is the case's id where it has one; `field` is a dotted path within the case."""

    def __init__(self, file: str, line: int, case: str | None, field: str | None, problem: str) -> None:
        self.file, self.line, self.case, self.field, self.problem = file, line, case, field, problem
        place = f"{file}:{line}"
        place += f", case '{case}'" if case else ""
        place += f", field '{field}'" if field else ""
        super().__init__(f"{place}: {problem}")
