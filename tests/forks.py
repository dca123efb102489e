"""Processes of their own for tests that kill or interrupt them: real ones, but without a start of Python for each.

Each is a fork of a server that did nothing but import, since importing is most of what such a process would do.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess

_IMPORTED = ["evals.cli", "evals.replay", "gateway.capture_worker", "gateway.core", "sentence_transformers"]


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Runs a function of a module that can be imported. Whoever starts it ends it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def exit_code(target: Callable[..., None], *arguments: object) -> int | None:
    """Of a run to its end, as `subprocess` gives it; None for one that takes over two minutes."""
    process = start(target, *arguments)
    try:
        process.join(timeout=120)
        return process.exitcode
    finally:
        process.kill()
        process.join()
