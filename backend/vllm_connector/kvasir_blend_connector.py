"""vLLM's side of LMCache's blend engine: KV of a text is reused wherever in a prompt the text stands.

LMCache 0.5.6 ships the server's side alone. This finds, for each prompt, the exact prefix and then whole chunks that
were computed elsewhere, as far as they follow one another without a gap: vLLM computes a prompt from one place to its
end and cannot leave out a middle. What was moved is taken as it is, nothing of it is computed again, so such an
answer is an approximation. Nothing of such a request is stored: under an exact key, what follows an approximation
would be taken for exact. For the same reason vLLM's own prefix cache must be off.

Runs in the engine's Python; read against LMCache 0.5.6 and vLLM 0.32.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kvasir_connector import KvasirConnector
from kvasir_found import Found, without_gap
from lmcache.integration.vllm.vllm_multi_process_adapter import (
    LMCacheMPSchedulerAdapter,
    LMCacheMPWorkerAdapter,
    LoadStoreOp,
)
from lmcache.v1.platform import resolve_kv_wrapper_factory
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorRole


@dataclass
class BlendLoad(LoadStoreOp):  # type: ignore[misc]
    """A load of which the first `prefix_tokens` are exact; `moved` are LMCache's matches that follow them."""

    prefix_tokens: int = 0
    moved: list[Any] = field(default_factory=list)


@dataclass
class _Lookup:
    """What the server was asked for the first `end` tokens of a prompt, and when."""

    key: Any
    end: int
    future: Any
    begun: float = field(default_factory=time.monotonic)


class BlendScheduler(LMCacheMPSchedulerAdapter):  # type: ignore[misc]
    """Asks for the prefix and for moved chunks in one call, and polls it."""

    found: dict[str, Found]

    def maybe_submit_lookup_request(
        self,
        request_id: str,
        token_ids: list[int],
        cache_salt: str = "",
        request_configs: dict[str, Any] | None = None,
        reserve_last_token: bool = False,  # noqa: ARG002  of models whose KV cannot be moved
    ) -> None:
        self._ensure_heartbeat_started()
        if not self.is_healthy or request_id in self._pending_lookups:
            return
        chunk = self.lmcache_tokens_per_chunk
        # vLLM computes the last token in any case, so a chunk that holds it is computed.
        end = max(0, len(token_ids) - 1) // chunk * chunk
        # The server looks up, and locks, all that it is given.
        key = self._create_key(
            token_ids[:end],
            start=0,
            end=end,
            request_id=request_id,
            cache_salt=cache_salt,
            request_configs=request_configs,
        ).no_worker_id_version()
        self._pending_lookups.add(request_id)
        self._lookup_params[request_id] = (token_ids, cache_salt, request_configs)
        if end:
            self._lookups[request_id] = _Lookup(key, end, self._client.cb_unified_lookup(key, self.tp_size))
        else:
            self.found[request_id] = Found(0, 0, ())

    def check_lookup_result(self, request_id: str) -> int | None:
        if request_id not in self._pending_lookups or not self.is_healthy:
            return 0
        if request_id in self.found:
            return int(self.found[request_id].tokens)
        lookup = self._lookups[request_id]
        if not lookup.future.query():
            if time.monotonic() - lookup.begun < self._mq_timeout:
                return None
            # A call that fails in the server is never answered.
            for url in self.req_clients:
                self._mark_lookup_timed_out(url)
            return 0
        answer = lookup.future.result(timeout=0)
        if answer is None:  # the server still fetches from a slower tier
            lookup.future = self._client.cb_unified_lookup(lookup.key, self.tp_size)
            lookup.begun = time.monotonic()
            return None
        found = without_gap(answer.prefix_coverage_tokens, answer.non_prefix_segments, lookup.end)
        self.found[request_id] = found
        return int(found.tokens)

    def free_lookup_locks(self, token_ids: list[int], start: int, end: int, request_id: str, **rest: Any) -> None:
        """Only the prefix is locked by token; moved chunks are given back with the session."""
        found = self.found.get(request_id)
        if found is not None:
            end = min(end, found.prefix_tokens)
        if end > start:
            super().free_lookup_locks(token_ids, start, end, request_id, **rest)

    def end_session(self, request_id: str) -> None:
        self.found.pop(request_id, None)
        self._lookups.pop(request_id, None)
        super().end_session(request_id)

    def begin(self) -> None:
        """State of its own; the class is put over an adapter that exists."""
        self.found = {}
        self._lookups: dict[str, _Lookup] = {}
        [self._client] = self.req_clients.values()


class BlendWorker(LMCacheMPWorkerAdapter):  # type: ignore[misc]
    """Has moved chunks written, with their keys turned: on a GPU by the server, on a CPU here."""

    _cpu_keys: Any

    def submit_retrieve_request(
        self,
        request_id: str,
        op: LoadStoreOp,
        event: Any,
        cache_salt: str = "",
        request_configs: dict[str, Any] | None = None,
    ) -> None:
        moved = op.moved if isinstance(op, BlendLoad) else []
        if not moved or not self.is_healthy:
            super().submit_retrieve_request(request_id, op, event, cache_salt, request_configs)
            return
        parts = []
        if op.prefix_tokens > op.start:
            blocks = [ids[: (op.prefix_tokens - op.start) * len(ids) // (op.end - op.start)] for ids in op.block_ids]
            prefix = LoadStoreOp(op.token_ids, blocks, op.start, op.prefix_tokens, op.skip_first_n_tokens)
            super().submit_retrieve_request(request_id, prefix, event, cache_salt, request_configs)
            parts.append(self.retrieve_futures[request_id][0])
        key = self._create_key(
            op.token_ids,
            op.start,
            op.end,
            request_id=request_id,
            cache_salt=cache_salt,
            request_configs=request_configs,
        )
        context = self.transfer_ctx
        handle = context._event_backend.export_event(event, context._device)
        asked = self.req_client.cb_retrieve_pre_computed(
            key, list(moved), self._block_ids_per_group(op), self.instance_id, handle
        )
        parts.append(asked.to_device_future(device=context._device, event_backend=context._event_backend))
        turn = partial(self._turn, op) if self._cpu_keys is not None else None
        self.retrieve_futures[request_id] = (Parts(parts, turn), op.flat_block_ids)
        if event is not None:
            self.retrieve_events[request_id] = event

    def _send_register_kv_caches_request(self, kv_caches: dict[str, Any]) -> None:
        super()._send_register_kv_caches_request(kv_caches)
        rope = rotary_embedding()
        turned_by = []
        if rope.cos_sin_cache.device.type == "cpu":
            if len(self.engine_group_infos) != 1:
                raise ValueError("the blend engine needs layers of one kind on a CPU; this model has several")
            from kvasir_cpu_keys import CpuKeys

            # The server knows no order of keys, so it is told of no rotation.
            self._cpu_keys = CpuKeys(kv_caches, rope)
        else:
            turned_by = [resolve_kv_wrapper_factory(rope.cos_sin_cache.device.type)(rope.cos_sin_cache)]
        self.req_client.cb_register_rope(
            self.instance_id, turned_by, rope.head_size, rope.is_neox_style, [], [], []
        ).result(timeout=self._mq_timeout)

    def _turn(self, op: BlendLoad) -> None:
        [blocks] = op.block_ids
        tokens = (op.end - op.start) // len(blocks)
        pairs = [
            (blocks[(place - op.start) // tokens], match.cur_st - match.old_st)
            for match in op.moved
            for place in range(match.cur_st, match.cur_ed, tokens)
            if match.cur_st != match.old_st
        ]
        if pairs:
            self._cpu_keys.turn(*zip(*pairs, strict=True))

    def begin(self) -> None:
        """State of its own; the class is put over an adapter that exists."""
        self._cpu_keys = None


class Parts:
    """Several of LMCache's futures as one, and what is done once all have ended well."""

    def __init__(self, parts: list[Any], then: Callable[[], None] | None) -> None:
        self._parts, self._then = parts, then

    def query(self) -> bool:
        return all(part.query() for part in self._parts)

    def result(self, timeout: float | None = None) -> bool:
        ok = all([part.result(timeout=timeout) for part in self._parts])
        if ok and self._then is not None:
            self._then()
            self._then = None
        return ok


def rotary_embedding() -> Any:
    """The model's only one. Raises `ValueError` for a model with none or several, or with attention of another kind."""
    from vllm.model_executor.layers.rotary_embedding import _ROPE_DICT

    made = list(_ROPE_DICT.values())
    if len(made) != 1:
        raise ValueError(f"the blend engine needs a model with one rotary embedding; this one has {len(made)}")
    return made[0]


class KvasirBlendConnector(KvasirConnector):  # type: ignore[misc]
    """Loads exact prefixes and, after them, moved chunks."""

    def __init__(self, vllm_config: Any, role: KVConnectorRole, kv_cache_config: Any = None) -> None:
        if vllm_config.cache_config.enable_prefix_caching:
            raise ValueError("the blend engine needs vLLM's --no-enable-prefix-caching")
        super().__init__(vllm_config, role, kv_cache_config)
        # LMCache makes its adapters by name, so theirs are turned into ours; neither has state at that time.
        if role == KVConnectorRole.SCHEDULER:
            self.scheduler_adapter.__class__ = BlendScheduler
            self.scheduler_adapter.begin()
        else:
            self.worker_adapter.__class__ = BlendWorker
            self.worker_adapter.begin()

    def get_num_new_matched_tokens(self, request: Any, num_computed_tokens: int) -> tuple[int | None, bool]:
        matched: tuple[int | None, bool] = super().get_num_new_matched_tokens(request, num_computed_tokens)
        found = self.scheduler_adapter.found.get(request.request_id)
        if found is not None and found.moved:
            self._get_request_tracker(request.request_id).max_offload_tokens = 0
        return matched

    def _process_retrieve_requests(self, metadata: Any) -> None:
        super()._process_retrieve_requests(metadata)
        for load in metadata.requests:
            found = self.scheduler_adapter.found.get(load.request_id)
            if load.direction == "RETRIEVE" and found is not None and found.moved:
                op = load.op
                load.op = BlendLoad(
                    token_ids=op.token_ids,
                    block_ids=op.block_ids,
                    start=op.start,
                    end=op.end,
                    skip_first_n_tokens=op.skip_first_n_tokens,
                    prefix_tokens=found.prefix_tokens,
                    moved=list(found.moved),
                )
