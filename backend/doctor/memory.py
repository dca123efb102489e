"""Out of memory at long context: vLLM's KV cache is full, or a prompt does not fit the window."""

from __future__ import annotations

import math

from backend.doctor.engine_args import has_arg, with_arg
from backend.doctor.finding import Figure, Finding
from backend.doctor.load import Load, load_of
from backend.doctor.readings import Readings
from backend.doctor.throughput import ROOM

_BLOCKS = "--num-gpu-blocks-override"
_MOST_GPU_SHARE = 0.95
_TOO_LONG = ("PromptTooLong", "ContextTooLong")  # as the gateway found before it asked, or the engine said
_ANSWERS = ("/v1/chat/completions", "/v1/completions")


def kv_memory_full(readings: Readings) -> Finding | None:
    load = load_of(readings)
    preempted = readings.grew("engine", "vllm:num_preemptions_total")
    if not preempted and not (load.queues and load.kv_share > ROOM):
        return None
    return Finding(
        "kv-memory-full",
        "vLLM's KV cache does not hold the requests that are served at once.",
        (
            Figure("requests put back to compute their KV again", preempted, limit=0, origin="each is work twice"),
            Figure("requests being served, on average", load.running),
            Figure("requests waiting, on average", load.waiting, limit=load.running, origin="those being served"),
            Figure("share of vLLM's KV cache in use", load.kv_share, limit=ROOM, origin="no room for twice as many"),
            Figure("tokens a request", load.request_tokens),
            Figure("tokens that vLLM's KV cache holds", load.kv_tokens),
        ),
        "Prompts and answers are too long for so many at once. Give vLLM more memory for KV, or let it serve fewer.",
        (_more_memory(readings, load),),
    )


def prompts_too_long(readings: Readings) -> Finding | None:
    told = sum(readings.grew("gateway", "kvasir_requests_total", outcome=outcome) for outcome in _TOO_LONG)
    window, most = _window(readings), readings.model_window_tokens
    refused = sum(_refused_as_long(readings, handler, window) for handler in _ANSWERS)
    if not told and not refused:
        return None
    if most is not None and window < most:
        diagnosis = f"The engine was started with a window of {window} tokens, and the model takes {most}."
        command = readings.restart("--window-tokens", str(most), only_engine=True)
    else:
        whose = "is the model's own" if most is not None else "is all that is known to be possible"
        diagnosis = (
            f"The window of {window} tokens {whose}. Ask for shorter answers, or give assistants smaller budgets in "
            "kvasir.toml, and start the gateway again."
        )
        command = "kvasir serve --config kvasir.toml"
    if not told:
        diagnosis += " The engine does not count why it refuses; a gateway, named with --gateway, does."
    return Finding(
        "prompts-too-long",
        "Requests are refused" + (" because they do not fit the window." if told else ", as those that do not fit."),
        (
            Figure("requests that the gateway refused as too long", told, limit=0, origin="each is an answer less"),
            Figure(
                "requests that the engine refused (status 4xx) and that may have been as long as the window",
                refused,
                limit=0,
                origin="each is an answer less",
            ),
            Figure("window", window, "tokens"),
        ),
        diagnosis,
        (command,),
    )


def _refused_as_long(readings: Readings, handler: str, window: int) -> float:
    """At most so many of the refused had a prompt of the window: vLLM counts refusals alike, whatever they are for,
    but also the bytes it was sent, and each token of a prompt is one at least.
    """
    refused = readings.grew("engine", "http_requests_total", handler=handler, status="4xx")
    sent = readings.grew("engine", "http_request_size_bytes_sum", handler=handler)
    served = readings.grew("engine", "http_requests_total", handler=handler, status="2xx")
    ended = readings.grew("engine", "vllm:request_prompt_tokens_count")
    of_served = readings.grew("engine", "vllm:request_prompt_tokens_sum") * served / ended if ended else 0.0
    return min(refused, max(0.0, sent - of_served) // window)


def _more_memory(readings: Readings, load: Load) -> str:
    given = readings.options.engine_args
    wanted = (load.running + load.waiting) * load.request_tokens
    times = max(1.0, wanted / load.kv_tokens) if load.kv_tokens else 1.0
    if has_arg(given, _BLOCKS) and readings.after.engine is not None:
        blocks = int(readings.after.engine.label("vllm:cache_config_info", "num_gpu_blocks") or 1)
        return readings.restart(*with_arg(given, f"{_BLOCKS}={math.ceil(2 * blocks * times)}"), only_engine=True)
    if readings.on_cpu:
        gb = math.ceil(max(readings.options.cpu_kv_gb + 1, readings.options.cpu_kv_gb * times))
        return readings.restart("--cpu-kv-gb", str(gb), only_engine=True)
    if readings.options.gpu_memory_share < _MOST_GPU_SHARE:
        return readings.restart("--gpu-memory-share", str(_MOST_GPU_SHARE), only_engine=True)
    fitting = max(1, load.fitting_requests)
    return readings.restart(*with_arg(given, f"--max-num-seqs={fitting}"), only_engine=True)


def _window(readings: Readings) -> int:
    return readings.options.window_tokens or min(readings.model_window_tokens or 16384, 16384)
