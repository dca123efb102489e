"""A home for tests of the command `kvasir`: the shop's database, its knowledge and a kvasir.toml."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.cli.main import main

KNOWLEDGE = Path(__file__).parents[2] / "examples" / "shop" / "knowledge"
CONFIG = """\
home = "state"
[datasources.shop]
url = "sqlite:///{database}"
[assistants.shop]
kb = "shop"
datasource = "shop"
verified_answers = true
"""


@dataclass
class Home:
    """`folder` holds kvasir.toml and the state."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "kvasir.toml"

    def __call__(self, *arguments: object, env: dict[str, str] | None = None) -> Result:
        """Run `kvasir` with the arguments. An exception other than its exit is raised here."""
        given = [str(argument) for argument in arguments]
        if "--config" not in given and "--help" not in given:
            given += ["--config", str(self.config)]
        return CliRunner(catch_exceptions=False).invoke(main, given, env=env, prog_name="kvasir")

    def refused(self, *arguments: object, env: dict[str, str] | None = None, code: int = 2) -> str:
        """Run what must fail, with nothing on stdout and nothing changed; gives what stderr says."""
        before = self.state()
        result = self(*arguments, env=env)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert self.state() == before
        return result.stderr

    def state(self) -> Any:
        """The names and sizes of all files but the database's own, and every branch of every base."""
        files = {
            str(path.relative_to(self.folder)): path.stat().st_size
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not path.name.startswith("kvasir.db")
        }
        database = self.folder / "state" / "kvasir.db"
        if not database.exists():
            return files, None
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            tables = ("kb_bases", "kb_refs", "proposals", "confirmations", "api_keys")
            return files, [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables]
        except sqlite3.DatabaseError as exc:
            return files, str(exc)
        finally:
            connection.close()

    def configure(self, text: str) -> None:
        self.config.write_text(text)


def make_home(folder: Path, database: Path) -> Home:
    """An initialised home whose base `shop` holds the tables and the knowledge folder."""
    home = Home(folder)
    home.configure(CONFIG.format(database=database))
    for command in (
        ("init",),
        ("kb", "introspect", "shop", "--kb", "shop", "--sample", "orders.state"),
        ("kb", "import", KNOWLEDGE, "--kb", "shop"),
    ):
        result = home(*command)
        assert result.exit_code == 0, result.output
    return home


def copy_home(home: Home, folder: Path) -> Home:
    shutil.copytree(home.folder, folder)
    return Home(folder)
