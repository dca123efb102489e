"""The pipelines of examples/ci: their commands, run in a Git repository of their own, let a harmless change pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

from evals.suite import load_suite
from gateway.settings import load_settings
from kb.folder import import_folder

CI = Path(__file__).parents[2] / "examples" / "ci"
GITHUB, GITLAB = CI / "kvasir-gate.yml", CI / ".gitlab-ci.yml"
INSTALL = "Install Kvasir"
"""The step that is not run: Kvasir is what is tested."""


@dataclass
class Step:
    run: str
    always: bool = False


def github_steps() -> list[Step]:
    job = yaml.safe_load(GITHUB.read_text())["jobs"]["gate"]
    names = [step.get("name") for step in job["steps"]]
    assert INSTALL in names
    steps = [step for step in job["steps"] if "run" in step and step["name"] != INSTALL]
    assert "${{" not in "".join(step["run"] for step in steps), "a runner would fill it in"
    return [Step(step["run"], step.get("if") == "always()") for step in steps]


def gitlab_steps() -> list[Step]:
    """All of `script`; what installs Kvasir is in `before_script`."""
    return [Step(line) for line in yaml.safe_load(GITLAB.read_text())["kvasir gate"]["script"]]


@dataclass
class Repository:
    """A clone, whose `origin/main` holds the example, on a branch of its own."""

    folder: Path
    environment: dict[str, str]

    def change(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        self.bash(f"git commit --quiet --all --message='Change {file}'")

    def bash(self, script: str) -> int:
        # As GitHub's runners start it; a GitLab runner's shell ends at the first failure, too.
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]
        return subprocess.run(command, cwd=self.folder, env=self.environment, check=False).returncode

    def run(self, steps: list[Step]) -> int:
        """The exit code of the first step that failed, 0 where none did."""
        failed = 0
        for step in steps:
            if not failed or step.always:
                failed = failed or self.bash(step.run)
        return failed


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KVASIR_", "GIT_"))}
    identity = {f"GIT_{role}_{what}": "ann" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {
        **kept,
        **identity,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "HF_HUB_OFFLINE": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    found = Repository(tmp_path / "clone", environment)
    shutil.copytree(CI / "library", found.folder)
    script = """
        git init --quiet --bare --initial-branch=main ../origin.git
        git init --quiet --initial-branch=main
        git remote add origin ../origin.git
        git add .
        git commit --quiet --message='The knowledge'
        git push --quiet --set-upstream origin main
        git switch --quiet --create change
    """
    assert found.bash(script) == 0
    return found


@pytest.mark.parametrize(
    ("steps", "old", "new"),
    [
        pytest.param(github_steps, "returned_on IS NULL\n", "returned_on IS NOT NULL\n", id="github, wrong"),
        pytest.param(gitlab_steps, "question: How", "status: retired\nquestion: How", id="gitlab, retired"),
    ],
)
def test_a_change_that_breaks_a_confirmed_answer_makes_the_job_fail(
    repository: Repository, steps: Callable[[], list[Step]], old: str, new: str
) -> None:
    repository.change("success/books_on_loan.md", old, new)

    assert repository.run(steps()) == 1

    (suite,) = list(JUnitXml.fromfile(str(repository.folder / "gate.xml")))
    assert {case.name: len(case.result) for case in suite} == {"books-on-loan": 1, "titles-on-the-shelves": 0}


def test_a_change_that_harms_nothing_lets_the_job_pass(repository: Repository) -> None:
    repository.change("gotcha/withdrawn.md", "keeps its row", "keeps its row, and its loans stay")

    assert repository.run(github_steps()) == 0

    summary = Path(repository.environment["GITHUB_STEP_SUMMARY"]).read_text()
    assert summary
    assert summary == (repository.folder / "gate.md").read_text()
    document = JUnitXml.fromfile(str(repository.folder / "gate.xml"))
    assert (document.tests, document.failures, document.errors) == (2, 0, 0)
    assert subprocess.run(["git", "status", "--porcelain"], cwd=repository.folder, capture_output=True).stdout == b""


@pytest.mark.parametrize(("file", "schema"), [(GITHUB, "vendor.github-workflows"), (GITLAB, "vendor.gitlab-ci")])
def test_the_files_are_valid_by_their_systems_schemas(file: Path, schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_both_pipelines_and_the_readme_give_the_same_gate() -> None:
    github: dict[str, Any] = yaml.safe_load(GITHUB.read_text())
    (gate,) = [step["run"] for step in github["jobs"]["gate"]["steps"] if step.get("name") == "Gate"]

    assert gate in yaml.safe_load(GITLAB.read_text())["kvasir gate"]["script"]
    assert f"```sh\n{gate}\n```" in (CI / "README.md").read_text()


def test_the_example_is_a_whole_knowledge_folder() -> None:
    suite = load_suite(CI / "library" / "suite.yaml")

    assert suite.assistant in load_settings(CI / "library" / "kvasir.toml").assistants
    assert {item.kind for item in import_folder(CI / "library")} >= {"schema", "success", "gotcha"}
