"""What the garbage collector no longer looks through: what was there at the start, and a revision's first index."""

from __future__ import annotations

import gc
import queue
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.replay import SuiteReplay
from gateway.app import create_app
from gateway.long_lived import FirstIndexes, freeze
from gateway.settings import Settings
from kb.embedding import Embedder
from kb.knowledge_base import KnowledgeBase
from kb.memory_store import MemoryStore


class Node:
    """Something that can refer to itself."""

    itself: Node


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_lives_is_out_of_sight_and_what_was_garbage_is_gone() -> None:
    kept, cycle = Node(), Node()
    cycle.itself = cycle
    gone = weakref.ref(cycle)
    del cycle
    freeze()
    assert gone() is None
    assert not any(found is kept for found in gc.get_objects())


def test_the_first_index_of_each_revision_is_frozen_and_none_that_follows() -> None:
    store, indexes = MemoryStore(), FirstIndexes()
    shop, bank = (KnowledgeBase.create(store, "acme", name, author="test") for name in ("shop", "bank"))
    frozen = []
    for base, revision in [(shop, "main"), (shop, "main"), (shop, "next"), (bank, "main")]:
        made = Node()
        indexes.made(base, revision, "a commit")
        frozen.append(not any(found is made for found in gc.get_objects()))
    assert frozen == [True, False, True, True]


def test_an_application_tells_of_the_index_that_it_made_at_its_start(
    make_settings: Callable[..., Settings], filled_home: Path, embedder: Embedder, running: Any
) -> None:
    settings = make_settings()
    shutil.copytree(filled_home, settings.home, dirs_exist_ok=True)
    made: queue.Queue[tuple[str, str]] = queue.Queue()

    def index_made(base: KnowledgeBase, revision: str, _commit: str) -> None:
        made.put((base.id.name, revision))

    with running(create_app(settings, replay=SuiteReplay(), engines={}, embedder=embedder, index_made=index_made)):
        assert made.get(timeout=60) == ("shop", "main")
