"""How much a window asked of the engine, by Little's law: what is in a place on average is how much passes through it
in a second, times how long that stays. So two readings of counters tell of all the time between them.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.doctor.readings import Readings


@dataclass(frozen=True)
class Load:
    """Averages over the window, of the requests that ended in it. `kv_share` is of vLLM's own KV cache, estimated
    from the sizes of whole requests; 0 where vLLM does not tell how much that holds.
    """

    requests: float
    running: float
    waiting: float
    request_tokens: float
    kv_tokens: int
    computed_tokens: float
    generated_tokens: float

    @property
    def kv_share(self) -> float:
        return self.running * self.request_tokens / self.kv_tokens if self.kv_tokens else 0.0

    @property
    def queues(self) -> bool:
        """The engine is busy all the time, and a request waits for longer than it is served."""
        return self.running >= 1 and self.waiting >= self.running

    @property
    def fitting_requests(self) -> int:
        """How many requests of this size vLLM's KV cache holds at once."""
        return int(self.kv_tokens / self.request_tokens) if self.request_tokens else 0


def load_of(readings: Readings) -> Load:
    """`readings` has the engine."""
    requests = readings.grew("engine", "vllm:request_prompt_tokens_count")
    prompt = readings.grew("engine", "vllm:request_prompt_tokens_sum")
    answers = readings.grew("engine", "vllm:request_generation_tokens_sum")
    seconds = readings.seconds
    engine = readings.after.engine
    size = engine.label("vllm:cache_config_info", "kv_cache_size_tokens") if engine else None
    return Load(
        requests=requests,
        running=readings.grew("engine", "vllm:request_inference_time_seconds_sum") / seconds,
        waiting=readings.grew("engine", "vllm:request_queue_time_seconds_sum") / seconds,
        request_tokens=(prompt + answers) / requests if requests else 0.0,
        kv_tokens=int(size) if size and size.isdigit() else 0,
        computed_tokens=computed_tokens(readings),
        generated_tokens=readings.grew("engine", "vllm:generation_tokens_total"),
    )


def computed_tokens(readings: Readings) -> float:
    """Prompt tokens that the engine computed in the window, rather than taking them from a cache."""
    return readings.grew("engine", "vllm:prompt_tokens_by_source_total", source="local_compute")


def computed_again(readings: Readings) -> float:
    """Of these, at most so many had been asked for before: no more than were known and came from no cache."""
    known = readings.grew_in_tiers("observed", "repeats", "asked_before") * readings.chunk_tokens
    served = sum(
        readings.grew("engine", f"vllm:{name}_total") for name in ("prefix_cache_hits", "external_prefix_cache_hits")
    )
    return min(computed_tokens(readings), max(0.0, known - served))
