"""The blend engine on the real pair: documents in another order are reused, from where they were and in their place.

A model of one layer has a known answer: keys and values of its only layer depend on the token and its place alone, so
KV that was moved is that which computing gives, but for rounding. What it reads there decides what comes next: its
attention is made louder, since that of random weights says next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import pytest
from safetensors.torch import load_file, save_file

from backend.tiny_model import make_model_folder

from .asking import CHUNK_TOKENS
from .conftest import Pair, running_pair
from .waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

LOUDER = 4.0
LIKELY = 10
ALIKE = 8
"""Of the likeliest next tokens, so many are the same after rounding to bfloat16; of documents in another order, half at
most.
"""


@dataclass(frozen=True)
class Answer:
    """`likely` are the likeliest next tokens."""

    cached_tokens: int
    likely: frozenset[str]

    def like(self, other: Answer) -> int:
        return len(self.likely & other.likely)


class Asking:
    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._random = Random(7)

    def documents(self, count: int, chunks: int = 1) -> list[list[int]]:
        return [[self._random.randrange(300, 1500) for _ in range(chunks * CHUNK_TOKENS)] for _ in range(count)]

    def ask(self, *parts: list[int], salt: str = "acme") -> Answer:
        body = {
            "model": self._pair.model_name,
            "prompt": [*(token for part in parts for token in part), *range(400, 440)],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": LIKELY,
            "return_tokens_as_token_ids": True,
            "cache_salt": salt,
        }
        said = httpx.post(f"{self._pair.api_base}/completions", json=body, timeout=120, trust_env=False).json()
        cached = (said["usage"]["prompt_tokens_details"] or {}).get("cached_tokens", 0)
        answer = Answer(cached, frozenset(said["choices"][0]["logprobs"]["top_logprobs"][0]))
        self._await_idle()
        return answer

    def _await_idle(self) -> None:
        """Blocks stay in use until LMCache has what was computed."""
        used = "vllm:kv_cache_usage_perc"
        assert until(lambda: self._pair.vllm_metrics()[used], lambda share: share == 0) == 0


@pytest.fixture(scope="module")
def asking(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    home = tmp_path_factory.mktemp("blend")
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    model = make_model_folder(home / "one-layer", texts, layers=1, hidden=256, heads=4, kv_heads=2, vocab_tokens=1600)
    _make_louder(model)
    with running_pair(model, home, engine_python, engine_type="blend") as pair:
        yield Asking(pair)


def _make_louder(model: Path) -> None:
    path = model / "model.safetensors"
    weights = load_file(path)
    for name, weight in weights.items():
        if "self_attn" in name and name.endswith("weight"):
            weight.mul_(LOUDER)
    save_file(weights, path, metadata={"format": "pt"})


def test_documents_in_another_order_are_reused_in_their_place(asking):
    (head, *documents), chunks = asking.documents(3), 3
    assert asking.ask(head, *documents).cached_tokens == 0
    moved = asking.ask(head, *reversed(documents))
    assert moved.cached_tokens == chunks * CHUNK_TOKENS
    computed = asking.ask(head, *reversed(documents), salt="other")
    assert computed.cached_tokens == 0
    assert moved.like(computed) >= ALIKE
    elsewhere = asking.ask(head, *documents, salt="third")
    assert elsewhere.like(computed) <= LIKELY // 2


def test_what_is_new_ends_the_reuse(asking):
    head, one, two, new = asking.documents(4)
    asking.ask(head, one, two)
    assert asking.ask(head, two, new, one).cached_tokens == 2 * CHUNK_TOKENS
    assert asking.ask(head, new, one).cached_tokens == CHUNK_TOKENS


def test_nothing_of_a_prompt_with_moved_documents_is_stored(asking):
    head, one, two, new = asking.documents(4)
    asking.ask(head, one, two)
    for _ in range(2):
        assert asking.ask(head, two, one, new).cached_tokens == 3 * CHUNK_TOKENS


def test_the_same_prompt_again_is_exact(asking):
    head, one = asking.documents(2)
    first = asking.ask(head, one)
    again = asking.ask(head, one)
    assert (first.cached_tokens, again.cached_tokens) == (0, 2 * CHUNK_TOKENS)
    assert again.like(first) >= ALIKE
