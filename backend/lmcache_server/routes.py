"""`/kvasir/…` on LMCache's HTTP server. It has no authentication, as the rest of that server: loopback only."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from backend.lmcache_server.shared import EngineNotRegistered
from backend.tiers.notes import Note
from backend.tiers.sessions import SilentSessions
from backend.tiers.sightings import ChunkId, chunk_id
from backend.tiers.use_case import UseCase

if TYPE_CHECKING:
    from backend.lmcache_server.module import TierModule


class Prompt(BaseModel):
    """A prompt by its tokens, or by the hashes of its chunks, in order."""

    model_config = ConfigDict(extra="forbid")

    token_ids: list[int] = Field(default_factory=list)
    chunk_hashes: list[str] = Field(default_factory=list)
    cache_salt: str = ""


class PromptNote(Prompt):
    """Who asks this prompt, and how much of its beginning is knowledge of which commit."""

    use_case: UseCase | None = None
    session: str | None = None
    commit: str | None = None
    knowledge_tokens: int = 0


class Gates(BaseModel):
    model_config = ConfigDict(extra="forbid")

    load: bool
    store: bool


def add_routes(app: FastAPI, module: TierModule) -> None:
    control = module.control

    def ids(prompt: Prompt) -> list[ChunkId]:
        if prompt.token_ids:
            return module.ids_of_tokens(prompt.token_ids, prompt.cache_salt)
        try:
            return [chunk_id(bytes.fromhex(one), prompt.cache_salt) for one in prompt.chunk_hashes]
        except ValueError as exc:
            raise HTTPException(422, "chunk_hashes: each is a hash in hexadecimal digits") from exc

    @app.get("/kvasir/status")
    def status() -> dict[str, Any]:
        return {**control.status(), "chunk_bytes": module.chunk_bytes(), "observed": module.observed.status()}

    @app.post("/kvasir/notes")
    def note(body: PromptNote) -> dict[str, int]:
        chunks = ids(body)
        knowledge = body.knowledge_tokens // control.settings.chunk_tokens
        control.put_note(chunks, Note(body.use_case, body.session, body.commit, knowledge))
        return {"chunks": len(chunks)}

    @app.post("/kvasir/promotions", status_code=202)
    def promote(body: Prompt) -> dict[str, Any]:
        return promotion(ids(body))

    @app.get("/kvasir/silent-sessions")
    def silent() -> dict[str, Any]:
        try:
            return asdict(module.silent_sessions())
        except EngineNotRegistered:  # nothing was cached yet, so nobody holds anything
            return asdict(SilentSessions(None, 0, 0, ()))

    @app.post("/kvasir/sessions/{name}/expect", status_code=202)
    def expect(name: str) -> dict[str, Any]:
        return promotion(list(control.expect(name)))

    @app.post("/kvasir/sessions/{name}/idle")
    def idle(name: str) -> dict[str, int]:
        return {"chunks": acted(module.demote_session, name)}

    @app.delete("/kvasir/sessions/{name}")
    def gone(name: str) -> dict[str, int]:
        return {"chunks": acted(module.drop_session, name)}

    @app.delete("/kvasir/commits/{commit}")
    def release(commit: str) -> dict[str, int]:
        return {"chunks": acted(module.release_commit, commit)}

    @app.put("/kvasir/gates")
    def gates(body: Gates) -> dict[str, bool]:
        control.set_gates(load=body.load, store=body.store)
        return {"load": body.load, "store": body.store}

    @app.post("/kvasir/profile/reload")
    def reload_profile() -> dict[str, Any]:
        control.reload_profile()
        return {key: value for key, value in control.status().items() if key.startswith("profile")}

    @app.get("/kvasir/transfers")
    def transfers(after: int = 0) -> list[dict[str, Any]]:
        return [asdict(transfer) for transfer in control.transfers_after(after)]

    def promotion(chunks: list[ChunkId]) -> dict[str, Any]:
        return {"chunks": len(chunks), "job": acted(module.promote, chunks)}

    def acted(act: Any, what: Any) -> Any:
        try:
            return act(what)
        except EngineNotRegistered as exc:
            raise HTTPException(503, f"vLLM has not registered {exc} with LMCache yet; start it and ask again") from exc
