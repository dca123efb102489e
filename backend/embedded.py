"""The LiteLLM provider `embedded`: a model folder served in this process, without a server, a GPU or a key.

LiteLLM calls the four methods below with its own set of keyword arguments (`CustomLLM`, LiteLLM 1.106) and takes
plain dictionaries for chunks, so nothing of it is imported. The extra arguments are `model_folder`, `cache_salt`,
`prefix_cache_mb` and `grammar`. Each model has one worker thread: answers are made one after the other, and requests
wait in order.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from backend.embedded_model import Abandoned, EmbeddedModel, Piece, Prompt
from backend.engine import EngineConfig
from backend.model_folder import ModelFolder, check_model_folder


class EmbeddedProvider:
    """Serves model folders; each is loaded once, on the first request for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: dict[Path, _Served] = {}

    def check(self, folder: Path) -> ModelFolder:
        """Raises `ModelFolderInvalid`; loads nothing."""
        return check_model_folder(folder)

    async def count_tokens(self, folder: Path, messages: Sequence[Mapping[str, Any]]) -> int:
        """Tokens of the prompt that `messages` become, chat template included."""
        return await asyncio.to_thread(self._serve(folder).model.count_tokens, messages)

    async def text_tokens(self, folder: Path, text: str) -> int:
        """Tokens of a text by itself."""
        return await asyncio.to_thread(self._serve(folder).model.text_tokens, text)

    def completion(self, **call: Any) -> Any:
        return _fill(call["model_response"], call["model"], list(self._pieces(call)))

    def streaming(self, **call: Any) -> Iterator[dict[str, Any]]:
        for piece in self._pieces(call):
            yield _chunk(piece)

    async def acompletion(self, **call: Any) -> Any:
        pieces = [piece async for piece in self._pieces_async(call)]
        return _fill(call["model_response"], call["model"], pieces)

    async def astreaming(self, **call: Any) -> AsyncIterator[dict[str, Any]]:
        pieces = self._pieces_async(call)
        try:
            async for piece in pieces:
                yield _chunk(piece)
        finally:
            await pieces.aclose()

    def _serve(self, folder: Path, prefix_cache_mb: int = 0) -> _Served:
        with self._lock:
            if folder not in self._served:
                self._served[folder] = _Served(EmbeddedModel(folder, prefix_cache_mb=0))
            served = self._served[folder]
            # Engines of one folder share its model; the one that asks for most room has its way.
            served.model.prefixes.limit_bytes = max(served.model.prefixes.limit_bytes, prefix_cache_mb * 2**20)
            return served

    def _start(
        self, call: dict[str, Any], cancelled: threading.Event, put: Callable[[Piece | None], None]
    ) -> Future[None]:
        options = dict(call["optional_params"])
        kept_mb = options.get("prefix_cache_mb", EngineConfig.prefix_cache_mb)
        served = self._serve(Path(options["model_folder"]), kept_mb)
        prompt = _prompt(call["messages"], options)

        def work() -> None:
            with suppress(Abandoned):
                for piece in served.model.generate(prompt, cancelled):
                    put(piece)

        future = served.worker.submit(work)
        future.add_done_callback(lambda _: put(None))
        return future

    def _pieces(self, call: dict[str, Any]) -> Iterator[Piece]:
        cancelled = threading.Event()
        pieces: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
        future = self._start(call, cancelled, pieces.put)
        try:
            while (piece := pieces.get()) is not None:
                yield piece
            future.result()
        finally:
            cancelled.set()
            future.cancel()

    async def _pieces_async(self, call: dict[str, Any]) -> Any:
        cancelled = threading.Event()
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Piece | None] = asyncio.Queue()

        def put(piece: Piece | None) -> None:
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
            except RuntimeError:  # the loop closed, and its readers are gone with it
                cancelled.set()

        future = self._start(call, cancelled, put)
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            future.result()
        finally:
            cancelled.set()
            future.cancel()


class _Served:
    def __init__(self, model: EmbeddedModel) -> None:
        self.model = model
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"embedded-{model.folder.path.name}")


def _prompt(messages: Sequence[Mapping[str, Any]], options: dict[str, Any]) -> Prompt:
    stop = options.get("stop") or ()
    # OpenAI's newer name wins where LiteLLM maps to it.
    limit = options.get("max_completion_tokens", options.get("max_tokens"))
    return Prompt(
        messages=tuple(messages),
        max_tokens=None if limit is None else int(limit),
        temperature=float(options.get("temperature") or 0.0),
        top_p=float(options.get("top_p") or 1.0),
        seed=options.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        presence_penalty=float(options.get("presence_penalty") or 0.0),
        frequency_penalty=float(options.get("frequency_penalty") or 0.0),
        cache_salt=options.get("cache_salt"),
        grammar=options.get("grammar"),
    )


def _usage(piece: Piece) -> dict[str, Any]:
    return {
        "prompt_tokens": piece.prompt_tokens,
        "completion_tokens": piece.completion_tokens,
        "total_tokens": piece.prompt_tokens + piece.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": piece.cached_tokens},
    }


def _chunk(piece: Piece) -> dict[str, Any]:
    return {
        "text": piece.text,
        "is_finished": piece.finish_reason is not None,
        "finish_reason": piece.finish_reason or "",
        "usage": _usage(piece) if piece.finish_reason else None,
        "index": 0,
        "tool_use": None,
    }


def _fill(response: Any, model: str, pieces: list[Piece]) -> Any:
    """Write the answer into LiteLLM's `ModelResponse`, mutating it."""
    last = pieces[-1]
    response.choices[0].message.content = "".join(piece.text for piece in pieces)
    response.choices[0].finish_reason = last.finish_reason
    response.model = model
    response.usage = type(response.usage)(**_usage(last))
    response.ttft_seconds = last.ttft_seconds
    return response
