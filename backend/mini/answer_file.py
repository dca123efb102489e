"""Prompts and answers as files of JSON lines, so that another machine can answer what this one asks and judges."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from backend.engine import Message

Decoding = Literal["greedy", "constrained"]
"""How the next token is drawn: the likeliest of all, or the likeliest that the SQL grammar over the tables allows."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """`tables` maps the tables that the prompt shows to their columns; constrained decoding needs them."""

    key: str
    messages: Sequence[Message]
    tables: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A line of an answers file: which prompt, by which model and how, and what came.

    `text` is `None` where nothing was answered: the prompt leaves too little of the window, or the grammar failed.
    """

    key: str
    model: str
    decoding: Decoding
    device: str
    dtype: str
    text: str | None
    prompt_tokens: int
    answer_tokens: int


def prompt_of(messages: Sequence[Message], tables: Mapping[str, Sequence[str]] | None = None) -> Prompt:
    """Its key is the SHA-256 of the messages, which can be known before any weights are."""
    text = json.dumps([dict(message) for message in messages], sort_keys=True, ensure_ascii=False)
    return Prompt(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), messages, tables)


def model_digest(folder: Path) -> str:
    """SHA-256 over the folder's safetensors, in order of their names, and tokenizer. Raises `FileNotFoundError`."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"there are no *.safetensors in {folder}")
    digest = hashlib.sha256()
    for path in [*files, folder / "tokenizer.json"]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def read_answers(path: Path, model: str) -> dict[tuple[str, str], Answered]:
    """(key, decoding) → answer, of this model's lines. A line that a crash cut off is passed over."""
    found: dict[tuple[str, str], Answered] = {}
    if not path.exists():
        return found
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                answered = Answered(**json.loads(line))
            except ValueError:
                continue
            if answered.model == model:
                found[answered.key, answered.decoding] = answered
    return found


def append_answers(path: Path, answers: Iterable[Answered]) -> Iterator[Answered]:
    """Each is written before it is passed on. A line that was cut off is ended first, so that it spoils no other."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        for answered in answers:
            file.write(json.dumps(asdict(answered), ensure_ascii=False).encode() + b"\n")
            file.flush()
            yield answered


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> int:
    """One line each for the different ones; gives their count. Gzip where the name ends in `.gz`. Appears whole."""
    different = {prompt.key: prompt for prompt in prompts}
    part = path.with_name(f".{path.name}")
    with gzip.open(part, "wt", encoding="utf-8") if path.suffix == ".gz" else part.open("w", encoding="utf-8") as file:
        for prompt in different.values():
            record = {"key": prompt.key, "messages": list(prompt.messages), "tables": prompt.tables}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    part.replace(path)
    return len(different)


def read_prompts(path: Path) -> list[Prompt]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [Prompt(record["key"], record["messages"], record.get("tables")) for record in records]
