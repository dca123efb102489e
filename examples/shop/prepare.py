"""Makes a home for the demo shop: its database, a `kvasir.toml`, and a knowledge base. Repeatable.

Each part is made beside its place and moved there when it is whole, so an interrupted preparation is made again.

python examples/shop/prepare.py FOLDER [--port N]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SHOP = Path(__file__).resolve().parent
SAMPLES = (
    "orders.state", "orders.channel", "payments.result", "payments.method", "shipments.carrier",
    "customers.country", "addresses.country", "returns.reason", "categories.name",
)  # fmt: skip

CONFIG = """\
# The demo shop. Paths are relative to this file; docs/configuration.md describes every setting.
home = "state"
port = {port}

[datasources.shop]
url = "sqlite:///shop.sqlite"

# The model that ships with Kvasir, in the gateway's own process.
[engines.mini]
model = "embedded/kvasir-mini"

[assistants.shop]
kb = "shop"
datasource = "shop"
engine = "mini"
decoding = "sql"
verified_answers = true
approval = "automatic"
suite = {suite}
instructions = "Answer the question with one SQLite query. Use only what the knowledge below says."
"""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell gives it."""


class StepFailed(Exception):
    """A command of the preparation failed."""


def environment() -> dict[str, str]:
    """This process's, without variables that would lead `kvasir` to another home than the shop's."""
    elsewhere = ("KVASIR_HOME", "KVASIR_CONFIG", "KVASIR_DATABASE_URL", "KVASIR_TENANT")
    return {name: value for name, value in os.environ.items() if name.upper() not in elsewhere}


def kvasir(config: Path, *arguments: str) -> str:
    """Run the command `kvasir` and give its stdout. Raises `StepFailed` with its stderr."""
    command = [str(Path(sys.executable).parent / "kvasir"), *arguments, "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        raise StepFailed(f"kvasir {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
    return done.stdout


def prepare(folder: Path, *, port: int = 8000, say: Callable[[str], None] = print) -> Path:
    """Everything the shop needs, in `folder`; what is there already is kept. Gives the path of `kvasir.toml`.

    `say` is told each command and what it answered.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database, config, state = folder / "shop.sqlite", folder / "kvasir.toml", folder / "state"
    if not database.exists():
        unfinished = database.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        subprocess.run(
            [sys.executable, str(SHOP / "generate.py"), str(unfinished)], check=True, stdout=subprocess.DEVNULL
        )
        unfinished.rename(database)
    if not config.exists():
        suite = os.path.relpath(SHOP / "suite.yaml", folder.resolve())
        config.write_text(CONFIG.format(port=port, suite=json.dumps(suite)))
    if state.exists():
        kvasir(config, "init")
    else:
        _make_state(config, state, say)
    return config


def _make_state(config: Path, state: Path, say: Callable[[str], None]) -> None:
    """The state database with the knowledge base `shop`: whole, or not there."""
    unfinished = state.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    kvasir(config, "init", "--home", str(unfinished))
    sampled = [argument for column in SAMPLES for argument in ("--sample", column)]
    for command in (
        ["kb", "introspect", "shop", "--kb", "shop", *sampled],
        ["kb", "import", os.path.relpath(SHOP / "knowledge"), "--kb", "shop"],
    ):
        answered = kvasir(config, *command, "--home", str(unfinished)).strip()
        say(f"  $ kvasir {' '.join(command)}\n    {answered}")
    unfinished.rename(state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    try:
        prepare(arguments.folder, port=arguments.port)
    except KeyboardInterrupt:
        print("interrupted; run it again to finish", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (StepFailed, OSError, subprocess.SubprocessError) as exc:
        sys.exit(str(exc))
    question = {"model": "shop", "messages": [{"role": "user", "content": "How many customers do we have in Germany?"}]}
    print("When it serves, try:")
    print(f"  curl -s http://127.0.0.1:{arguments.port}/v1/chat/completions -H 'Content-Type: application/json' \\")
    print(f"    -d '{json.dumps(question)}'")


if __name__ == "__main__":
    main()
