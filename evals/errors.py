"""What can go wrong in the regression harness, as a tree.

GatewayError                 (gateway.errors): the gateway's worker runs replays and handles their errors by this name
└── EvalError
    ├── SuiteNotFound        no readable file at the suite's path
    ├── SuiteInvalid         a suite breaks the format; names file, line, case and field
    ├── RunNotFound          no kept run of that id
    ├── RunAmbiguous         several kept runs begin with that
    ├── RunNotPassed         a run with failures is to become the baseline
    ├── NoBaseline           the suite has none, and no base was named
    ├── SideNotFound         what a gate shall compare is no folder, no commit and no Git revision
    └── GitFailed            Git cannot read the repository that a knowledge folder lies in

A case that fails or cannot be judged is a result, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


class RunNotFound(EvalError):
    def __init__(self, run: str) -> None:
        self.run = run
        super().__init__(f"run '{run}' not found; 'kvasir eval list' shows the runs that are kept")


class RunAmbiguous(EvalError):
    def __init__(self, run: str, found: tuple[str, ...]) -> None:
        self.run, self.found = run, found
        super().__init__(f"several runs begin with '{run}': {', '.join(found)}; give more of the id")


class RunNotPassed(EvalError):
    def __init__(self, run: str, verdict: str, counts: Mapping[str, int]) -> None:
        self.run, self.verdict, self.counts = run, verdict, dict(counts)
        told = ", ".join(f"{count} {word}" for word, count in counts.items()) or "no case was asked"
        super().__init__(
            f"{run} ended as {verdict} ({told}), and every later gate would take that for right; "
            "bless it all the same with --force"
        )


class NoBaseline(EvalError):
    def __init__(self, suite: str, assistant: str) -> None:
        self.suite, self.assistant = suite, assistant
        super().__init__(
            f"suite '{suite}' of assistant '{assistant}' has no baseline; name a commit with --base, or make a run "
            "its baseline with 'kvasir eval bless RUN' ('kvasir eval list' shows runs)"
        )


class SideNotFound(EvalError):
    """`base` is the knowledge base that was searched, `None` where it is not there; `folder` the knowledge folder."""

    def __init__(self, name: str, base: str | None, folder: str, *, in_git: bool) -> None:
        self.name, self.base, self.folder = name, base, folder
        commits = (
            f"no commit, branch or tag '{name}' in '{base}'" if base else f"no knowledge base to look for '{name}'"
        )
        revisions = f"no revision of the Git repository of '{folder}'" if in_git else f"no Git repository at '{folder}'"
        fix = "fetch it with git, or say with --knowledge" if in_git else "say with --knowledge"
        super().__init__(f"{commits}, no folder of that name, and {revisions}; {fix} which folder is kept in Git")


class GitFailed(EvalError):
    def __init__(self, folder: str, arguments: Sequence[str], problem: str) -> None:
        self.folder, self.arguments, self.problem = folder, tuple(arguments), problem
        super().__init__(f"'git {' '.join(arguments)}' in '{folder}': {problem}")
