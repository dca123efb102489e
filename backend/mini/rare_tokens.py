"""Retires the tokens that training hardly shows, so that a name is spelled in pieces the model knows well.

A byte-level BPE learns whole invented names, since each stands many times in one database, and never meets them again.
A model cannot copy a token whose embedding nothing has trained: it writes another such token in its place. Retired, a
token keeps its id and is never produced; what it stood for is spelled by smaller ones. The weights stay as they are.

`python -m backend.mini.rare_tokens MODEL [--data DIR]` changes MODEL/tokenizer.json.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from backend.mini.stream import encoded_chunk
from backend.mini.training import Training

CHUNKS = range(600, 680)
"""Of the training text, each of a dozen databases."""
LEAST_CHUNKS = 20
"""A token that stands in fewer of them is retired."""


def seen_in_chunks(training: Training, tokenizer: Path, chunks: Iterable[int], processes: int) -> Counter[int]:
    """Token id → in how many chunks it stands."""
    seen: Counter[int] = Counter()
    with get_context("spawn").Pool(processes) as pool:
        for ids in pool.imap_unordered(partial(_ids, training, tokenizer), chunks):
            seen.update(ids)
    return seen


def retire(tokenizer: Path, seen: Counter[int], least: int = LEAST_CHUNKS) -> int:
    """Rewrite `tokenizer`'s file without the merges that lead to rare tokens alone; gives how many tokens it retired.

    A rare token that a frequent one is merged from stays.
    """
    path = tokenizer / "tokenizer.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    model = content["model"]
    ids: dict[str, int] = model["vocab"]
    merges = [tuple(pair) for pair in model["merges"]]
    needed = {token for token, number in ids.items() if seen[number] >= least}
    kept = []
    for left, right in reversed(merges):
        if left + right in needed:
            needed |= {left, right}
            kept.append((left, right))
    model["merges"] = [list(pair) for pair in reversed(kept)]
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    return len(merges) - len(kept)


def _ids(training: Training, tokenizer: Path, chunk: int) -> set[int]:
    return {token for ids, _ in encoded_chunk(training, tokenizer, chunk) for token in ids.tolist()}


def main() -> None:
    options = argparse.ArgumentParser(description="Retire the tokens that training hardly shows.")
    options.add_argument("model", type=Path)
    options.add_argument("--data", type=Path, help="Spider's folder, as given to training")
    given = options.parse_args()
    training = replace(Training(), data=str(given.data or ""))
    seen = seen_in_chunks(training, given.model, CHUNKS, os.cpu_count() or 1)
    print(f"{retire(given.model, seen)} tokens retired")  # noqa: T201


if __name__ == "__main__":
    main()
