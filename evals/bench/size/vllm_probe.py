"""Starts vLLM with each of several model folders, one after the other. Run by the Python that has vLLM, as a file.

Importing vLLM takes longest, so it is done once, and every model gets a fork of its own, in which the whole engine
starts as in a server's engine process: model, attention, KV cache. What it logs goes to a file for each model.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def main(asked: dict[str, Any]) -> None:
    """`asked`: `{"models": [{"folder", "log", "window_tokens"}], "kv_bytes", "batched_tokens"}`.

    Prints the log's path when a model's process has ended, however it did.
    """
    from vllm import LLM

    for model in asked["models"]:
        child = os.fork()
        if child == 0:
            _start(LLM, model, asked)
        os.waitpid(child, 0)
        sys.stdout.write(f"{model['log']}\n")
        sys.stdout.flush()


def _start(engine: Any, model: dict[str, Any], asked: dict[str, Any]) -> None:
    with Path(model["log"]).open("wb", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        engine(
            model=model["folder"],
            load_format="dummy",
            skip_tokenizer_init=True,
            enforce_eager=True,
            dtype="bfloat16",
            max_model_len=model["window_tokens"],
            max_num_batched_tokens=asked["batched_tokens"],
            kv_cache_memory_bytes=asked["kv_bytes"],
        )
    except BaseException:  # noqa: BLE001 - whatever it is belongs into this model's log; then comes the next model
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the clean-up of Python's end: this is a fork, and not all of its parent's threads are here.
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
