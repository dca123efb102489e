"""High utilisation with low throughput: requests wait though there is room for them."""

from __future__ import annotations

from backend.doctor.engine_args import with_arg
from backend.doctor.finding import Figure, Finding
from backend.doctor.load import load_of
from backend.doctor.readings import Readings

ROOM = 0.5
"""Of vLLM's KV cache in use. Below it, twice as many requests would fit."""


def queue_with_room(readings: Readings) -> Finding | None:
    load = load_of(readings)
    if not load.queues or load.kv_share > ROOM or not load.fitting_requests:
        return None
    figures = [
        Figure("requests being served, on average", load.running, limit=1, origin="the engine is never idle"),
        Figure("requests waiting, on average", load.waiting, limit=load.running, origin="those being served"),
        Figure("share of vLLM's KV cache in use", load.kv_share, limit=ROOM, origin="twice the requests would fit"),
        Figure("tokens a request", load.request_tokens),
        Figure("answer tokens a second", load.generated_tokens / readings.seconds),
        Figure("prompt tokens computed a second", load.computed_tokens / readings.seconds),
    ]
    if readings.profile and load.requests:
        length = max(1.0, load.computed_tokens / load.requests)
        alone = length / readings.profile.prefill.seconds(length)
        figures.append(Figure("prompt tokens a second that the profile expects of one prompt alone", alone))
    return Finding(
        "queue-with-room",
        "The engine is busy all the time, and requests still wait for longer than they are served.",
        tuple(figures),
        "vLLM serves few requests at once although its KV cache has room for more: decoding them together costs hardly "
        f"more than decoding one. {load.fitting_requests} requests of this size fit.",
        (
            readings.restart(
                *with_arg(readings.options.engine_args, f"--max-num-seqs={load.fitting_requests}"), only_engine=True
            ),
        ),
    )
