"""What cases ask at commits, kept between replays: the head of what lands is the base of what comes next."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from evals.case import Case
from gateway.answering import Prepared
from gateway.core import Assistant, Core

KEPT_COMMITS = 4
"""Base and head, and the trials of other proposals between two replays."""

Asked = tuple[Hashable, ...]
"""All that an answer depends on, and that is compared: hashes, not the prompts."""


def asked(core: Core, prepared: Prepared) -> Asked:
    """Whether a verified answer passes depends on the tables known at the commit, too."""
    if prepared.verified is None:
        return (prepared.prompt.hash,)
    tables = core.retriever.tables(prepared.assistant.base, revision=prepared.commit)
    return prepared.prompt.hash, prepared.verified.body, tuple(sorted(tables.items()))


class AskedPrompts:
    """Of the last `kept` commits that were written or read, some hundred bytes a case. For one core, any threads.

    A prompt is a pure function of assistant, commit and conversation, so what is kept never ages.
    """

    def __init__(self, kept: int = KEPT_COMMITS) -> None:
        self._kept, self._lock = kept, threading.Lock()
        self._commits: OrderedDict[Hashable, dict[Hashable, Asked]] = OrderedDict()

    def get(self, assistant: Assistant, commit: str, case: Case) -> Asked | None:
        with self._lock:
            return self._at(assistant, commit).get(_conversation(case))

    def keep(self, assistant: Assistant, commit: str, case: Case, what: Asked) -> None:
        with self._lock:
            self._at(assistant, commit)[_conversation(case)] = what

    def _at(self, assistant: Assistant, commit: str) -> dict[Hashable, Asked]:
        key = (assistant.settings.tenant, assistant.name, commit)
        found = self._commits.setdefault(key, {})
        self._commits.move_to_end(key)
        while len(self._commits) > self._kept:
            self._commits.popitem(last=False)
        return found


def _conversation(case: Case) -> Hashable:
    return case.question, case.earlier
