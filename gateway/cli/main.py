"""The command `kvasir`. Groups are imported when they are used, so that `--help` does not wait for libraries."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import click


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a command is, and its line in the overview; a test keeps the line equal to the command's own."""

    path: str
    help: str


COMMANDS = {
    "init": _Target("gateway.cli.init:init", "Make the state database, or bring it up to this version."),
    "serve": _Target("gateway.cli.serve:serve", "Start the gateway."),
    "ask": _Target("gateway.cli.ask:ask", "Ask a question."),
    "confirm": _Target("gateway.cli.verdict:confirm", "Say that an answer was right."),
    "reject": _Target("gateway.cli.verdict:reject", "Say that an answer was wrong, and what would have been right."),
    "proposal": _Target("gateway.cli.proposal:group", "Look at proposals, and decide about those that wait."),
    "key": _Target("gateway.cli.key:group", "Make, list and revoke API keys."),
    "kb": _Target("gateway.cli.kb:group", "Read and change versioned knowledge."),
    "eval": _Target("evals.cli:group", "Run regression suites, and compare two commits."),
    "cache": _Target("gateway.cli.cache:group", "Say what the KV cache did for past requests."),
    "export-trace": _Target(
        "gateway.cli.export_trace:export_trace", "Write past requests as prefix hashes, for 'kvasir backend simulate'."
    ),
    "backend": _Target(
        "backend.cli:group", "Start, show and stop vLLM with LMCache; measure and diagnose them; size; simulate."
    ),
    "bench": _Target("evals.bench.cli:group", "Measure, each figure with its baseline and interval."),
}


class _Lazy(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.path.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, target.help) for name, target in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kvasir", prog_name="kvasir")
def main() -> None:
    """Kvasir: a gateway that learns context instead of weights, and reuses the KV cache of what it learned."""
