"""Engines' answers, kept so that a prompt that was asked before is not asked again.

A prompt is a pure function of commit, assistant and question, so its hash, with what decides how tokens are drawn
from it, names the answer. One repeat is one draw. Nothing here is seen by users: it is neither trace nor session.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import Engine as Database
from sqlalchemy import select

from backend.client import EngineConfig, Sampling
from gateway.tables import replay_answers
from kb.codec import canonical_json
from kb.database import insert_missing, transaction


class StoredAnswers:
    """Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, tenant: str, key: str, repeat: int) -> str | None:
        stored = replay_answers.c
        query = select(stored.answer).where(stored.tenant == tenant, stored.key == key, stored.repeat == repeat)
        with self._database.connect() as connection:
            answer: str | None = connection.scalar(query)
        return answer

    def keep(self, tenant: str, key: str, repeat: int, answer: str) -> None:
        """Store a draw; the first one stays where two were made at once."""
        row = {
            "tenant": tenant,
            "key": key,
            "repeat": repeat,
            "answer": answer,
            "created_at": datetime.now(UTC).isoformat(),
        }
        with transaction(self._database) as connection:
            insert_missing(connection, replay_answers, [row])


def answer_key(prompt_hash: str, engine: EngineConfig, sampling: Sampling) -> str:
    """Names what an engine would be asked: prompt, model and sampling, with the engine's own defaults for it."""
    drawn = {**asdict(sampling), "stop": list(sampling.stop)}
    del drawn["priority"]  # when it is asked, not what
    asked = {
        "prompt": prompt_hash,
        "engine": engine.name,
        "model": engine.model,
        "path": engine.path,
        "max_output_tokens": engine.max_output_tokens,
        "temperature": engine.temperature,
        "sampling": drawn,
    }
    return hashlib.sha256(b"kvasir answer 1\n" + canonical_json(asked)).hexdigest()
