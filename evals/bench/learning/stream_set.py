"""The question sets of `stream`: GeoQuery and the example shop, each with its database and what its base begins with.

A set is cut in two halves, the same in every run: the half that every stream asks, and the pool of static examples,
whose questions are never asked.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Literal, get_args

import yaml

from evals.bench.errors import ShopUnavailable
from evals.bench.mini.knowledge import introspected
from evals.bench.mini.question_set import Question, records
from gateway.datasource import Datasource, DatasourceConfig
from gateway.errors import DatasourceError
from gateway.prompt import DEFAULT_INSTRUCTIONS
from kb.errors import KnowledgeError
from kb.folder import import_folder
from kb.introspect import introspect
from kb.items import Item, Success

SetName = Literal["geography", "shop"]
SETS: tuple[SetName, ...] = get_args(SetName)

SHOP = Path(__file__).parents[3] / "examples" / "shop"
_DOUBLE_QUOTED = re.compile(r'"([^"]*)"')


@dataclass(frozen=True, slots=True)
class StreamSet:
    """`asked` are the questions of every stream, by no order that matters; `items` is what each base begins with."""

    name: SetName
    database: Path
    items: tuple[Item, ...]
    asked: tuple[Question, ...]
    pool: tuple[Question, ...]
    instructions: str = DEFAULT_INSTRUCTIONS


def stream_set(name: SetName, data: Path, folder: Path, limit: int | None = None) -> StreamSet:
    """Of GeoQuery in `data`, or of the shop, whose database is made in `folder`. `limit` takes the first questions.

    Left out are questions whose statement gives no value, which any empty answer would meet, and those that the base
    has an answer to. Raises `DataUnavailable`, `ShopUnavailable`.
    """
    if name == "geography":
        source = data / "text2sql_templates"
        database = (source / "geography.sqlite").resolve()
        items, listed = introspected(database), list(_geography(source / "geography.jsonl"))
        instructions = DEFAULT_INSTRUCTIONS
    else:
        database = folder.resolve() / "shop.sqlite"
        items, listed = _shop_items(database), list(_shop_questions(SHOP / "questions.yaml"))
        instructions = "Answer the question with one SQLite query. Use only what the knowledge below says."
    confirmed = {_key(item.body.question) for item in items if isinstance(item.body, Success)}
    fresh = {_key(question.text): question for question in listed if _key(question.text) not in confirmed}
    usable = _with_values(database, fresh.values())
    shuffled = Random(f"stream/{name}").sample(usable, len(usable))
    half = len(shuffled) // 2
    return StreamSet(name, database, tuple(items), tuple(shuffled[:half][:limit]), tuple(shuffled[half:]), instructions)


def _geography(path: Path) -> Iterator[Question]:
    """The set writes its texts in double quotes, which SQLite takes for texts and the product refuses."""
    for record in records(path):
        sql = _DOUBLE_QUOTED.sub(lambda text: "'" + text[1].replace("'", "''") + "'", record["gold_sql"][0])
        yield Question(record["id"], record["question"], (sql.rstrip("; "),))


def _shop_items(database: Path) -> list[Item]:
    """The base that `examples/shop/prepare.py` makes, with the database beside it."""
    command = [sys.executable, str(SHOP / "generate.py"), str(database)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        samples = _module(SHOP / "prepare.py").SAMPLES
        items = {item.id: item for item in introspect(f"sqlite:///{database}", sample=samples)}
        return list((items | {item.id: item for item in import_folder(SHOP / "knowledge")}).values())
    except subprocess.CalledProcessError as exc:
        raise ShopUnavailable(SHOP, exc.stderr.strip() or f"its generator ended with {exc.returncode}") from exc
    except (OSError, KnowledgeError) as exc:
        raise ShopUnavailable(SHOP, str(exc)) from exc


def _module(path: Path) -> ModuleType:
    """By its path: the examples are no package."""
    spec = importlib.util.spec_from_file_location(f"kvasir_shop_{path.stem}", path)
    assert spec is not None, "a path that ends in .py has a loader"
    assert spec.loader is not None, "a path that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _shop_questions(path: Path) -> Iterator[Question]:
    try:
        patterns: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
        for number, pattern in enumerate(patterns):
            for place, (text, *values) in enumerate(pattern["asked"]):
                yield Question(f"shop-{number}-{place}", text, (pattern["sql"].format(*values),))
    except OSError as exc:
        raise ShopUnavailable(path, exc.strerror or "cannot be read") from exc


def _with_values(database: Path, questions: Iterable[Question]) -> list[Question]:
    with Datasource(DatasourceConfig("bench", f"sqlite:///{database}")) as datasource:
        return [question for question in questions if _gives_a_value(datasource, question.gold[0])]


def _gives_a_value(datasource: Datasource, sql: str) -> bool:
    """A result that is cut could not be judged."""
    try:
        result = datasource.run(sql)
    except DatasourceError:
        return False
    return not result.truncated and any(cell is not None for row in result.rows for cell in row)


def _key(question: str) -> str:
    return " ".join(question.casefold().split())
