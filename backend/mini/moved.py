"""What answers lose where KV is reused out of its place: the same blocks in another order, not computed anew.

`python -m backend.mini.moved MODEL [--cases N] [--row ROW]`. Each question of the held-out seed is answered from KV
of its whole prompt, and from KV that was computed with the knowledge blocks in reverse order: each block's keys are
rotated to where it stands now, and a share of the moved tokens is computed again, those whose keys and values in the
second layer differ most from what they should be, as CacheBlend chooses them (Yao et al., EuroSys 2025). Share 0 is
what `backend up --engine-type blend` does. Beside it, the exact prefix alone is reused.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicCache, DynamicLayer

from backend.engine import Message
from backend.growing_kv import grown, shorten
from backend.mini.answer import ANSWER_TOKENS, dtype_on
from backend.mini.evaluate import ROWS, Case, held_out, is_right, wilson
from backend.mini.tokenizer import WINDOW_TOKENS, TextEncoder, prompt_text
from backend.mini.training import Training

SHARES = (0.0, 0.15, 0.3)
"""Of the moved tokens, how many are computed again. 0.15 is LMCache's default where it can."""

DEFAULT_ROWS = ("plain", "gotcha in context", "metric defined", "success among five")

_BLOCK = re.compile(r"<(\w+) id=.*?</\1>", re.DOTALL)
_CHOOSING_LAYER = 1


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt's tokens, and for each of its blocks, by its text, where the tokens stand that lie wholly in it, by the
    character of the block that they begin with. A block's ends may be joined with what stands beside it.
    """

    ids: list[int]
    blocks: dict[str, dict[int, int]]


@dataclass(frozen=True, slots=True)
class Reused:
    """KV for a prompt that was taken from another, and which of its tokens that covers: `exact`, then `moved`."""

    cache: Any
    exact_tokens: int
    moved: torch.Tensor


@dataclass(slots=True)
class Tally:
    """Answers from KV that was come by in one way: how many there are, are the same as from the whole prompt, and are
    right; and of how many prompt tokens how many were computed.
    """

    total: int = 0
    same: int = 0
    right: int = 0
    runs: int = 0
    computed_tokens: int = 0
    prompt_tokens: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def to_dict(self) -> dict[str, object]:
        return {
            "computed_share": round(self.computed_tokens / self.prompt_tokens, 4),
            "same": asdict(wilson("same", self.same, self.total, self.runs)),
            "right": asdict(wilson("right", self.right, self.total, self.runs)),
        }


class PlacedLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """KV of a whole prompt, in which the tokens at `places` are written anew."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, places: torch.Tensor) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.keys, self.values, self._places = keys, values, places

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys[..., self._places, :] = key_states
        self.values[..., self._places, :] = value_states
        return self.keys, self.values


class Mover:
    """One model folder, in the type of numbers that the embedded engine would take where none is given."""

    def __init__(self, folder: Path, dtype: str | None = None) -> None:
        self._encoder = TextEncoder(folder)
        numbers = getattr(torch, dtype or dtype_on("cpu"))
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=numbers).eval()

    def encode(self, messages: Sequence[Message]) -> Encoded:
        text = prompt_text(messages)
        ids, offsets = self._encoder.encode_with_offsets(text)
        blocks = {
            block.group(): {
                begin - block.start(): place
                for place, (begin, end) in enumerate(offsets)
                if block.start() <= begin and end <= block.end()
            }
            for block in _BLOCK.finditer(text)
        }
        return Encoded(ids, blocks)

    def kv(self, ids: Sequence[int]) -> tuple[Any, torch.Tensor]:
        """Of all tokens, and the logits after the last."""
        with torch.inference_mode():
            output = self._model(input_ids=torch.tensor([list(ids)]), use_cache=True, logits_to_keep=1)
        return output.past_key_values, output.logits[0, -1]

    def reuse(self, prompt: Encoded, other: Encoded, kv: Any) -> Reused:
        """`kv` is of `other`."""
        exact = next(
            (n for n, (one, two) in enumerate(zip(prompt.ids, other.ids, strict=False)) if one != two),
            min(len(prompt.ids), len(other.ids)),
        )
        exact = min(exact, len(prompt.ids) - 1)
        pairs = [
            (place, source)
            for text, places in prompt.blocks.items()
            for begin, place in places.items()
            if place >= exact
            and (source := other.blocks[text].get(begin)) is not None
            and prompt.ids[place] == other.ids[source]
        ]
        places, sources = torch.tensor(pairs).T
        moved = torch.zeros(len(prompt.ids), dtype=torch.bool)
        moved[places] = True
        cache = DynamicCache()
        for layer in kv.layers:
            keys = layer.keys.new_zeros((*layer.keys.shape[:-2], len(prompt.ids), layer.keys.shape[-1]))
            values = torch.zeros_like(keys)
            keys[..., :exact, :] = layer.keys[..., :exact, :]
            values[..., :exact, :] = layer.values[..., :exact, :]
            keys[..., places, :] = self._rotated(layer.keys[..., sources, :], places - sources)
            values[..., places, :] = layer.values[..., sources, :]
            cache.layers.append(PlacedLayer(keys, values, places))
        return Reused(cache, exact, moved)

    def filled(self, prompt: Encoded, reused: Reused, share: float, whole: Any) -> tuple[Any, torch.Tensor, int]:
        """KV of all of `prompt`, the logits after it, and how many tokens were computed for them.

        `share` of the moved tokens are among these; `whole` is the KV as it should be.
        """
        computed = ~reused.moved
        computed[: reused.exact_tokens] = False
        computed[_worst(reused, whole, round(share * int(reused.moved.sum())))] = True
        computed[-1] = True
        places = computed.nonzero()[:, 0]
        cache = DynamicCache()
        cache.layers = [PlacedLayer(layer.keys.clone(), layer.values.clone(), places) for layer in reused.cache.layers]
        seen = torch.arange(len(prompt.ids)) <= places[:, None]
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.tensor([prompt.ids])[:, places],
                position_ids=places[None],
                attention_mask=seen[None, None],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return cache, output.logits[0, -1], len(places)

    def answer(self, kv: Any, logits: torch.Tensor, prompt_tokens: int, guess: Sequence[int] = ()) -> list[int]:
        """The likeliest answer's tokens, up to its end. As far as `guess` is right, it takes one step."""
        most = min(ANSWER_TOKENS, WINDOW_TOKENS - prompt_tokens)
        cache = grown(kv, prompt_tokens, prompt_tokens + most)
        tokens: list[int] = []
        rows = [logits]
        with torch.inference_mode():
            if guess:
                rows += self._model(input_ids=torch.tensor([list(guess)]), past_key_values=cache).logits[0]
            for logits, guessed in zip_longest(rows, guess):
                token = int(logits.argmax())
                if token == self._encoder.end:
                    return tokens
                tokens.append(token)
                if token != guessed:
                    break
            shorten(cache, prompt_tokens + len(tokens) - 1)
            while len(tokens) < most:
                token = int(
                    self._model(input_ids=torch.tensor([[token]]), past_key_values=cache).logits[0, -1].argmax()
                )
                if token == self._encoder.end:
                    break
                tokens.append(token)
        return tokens

    def text(self, tokens: Sequence[int]) -> str:
        return self._encoder.decode(tokens)

    def _rotated(self, keys: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
        """Keys of shape (1, heads, tokens, width), each moved by its distance in positions."""
        cos, sin = self._model.model.rotary_emb(keys.float(), distances.abs()[None])
        sin = sin * distances.sign()[:, None]
        left, right = keys.float().chunk(2, dim=-1)
        turned: torch.Tensor = keys.float() * cos + torch.cat((-right, left), dim=-1) * sin
        return turned.to(keys.dtype)


def _worst(reused: Reused, whole: Any, count: int) -> torch.Tensor:
    """The places of `count` moved tokens whose KV is furthest from what it should be."""
    have, want = reused.cache.layers[_CHOOSING_LAYER], whole.layers[_CHOOSING_LAYER]
    apart = sum(
        ((one.float() - two.float()) ** 2).sum((0, 1, 3))
        for one, two in ((have.keys, want.keys), (have.values, want.values))
    )
    worst: torch.Tensor = torch.where(reused.moved, apart, -1.0).topk(count).indices
    return worst


def in_reverse(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same messages, with the blocks of the first in reverse order."""
    said = messages[0]["content"]
    found = list(_BLOCK.finditer(said))
    blocks = [block.group() for block in found]
    head, tail = said[: found[0].start()], said[found[-1].end() :]
    return (Message(role="system", content=head + "\n\n".join(reversed(blocks)) + tail), *messages[1:])


WHOLE, PREFIX = "whole prompt", "exact prefix"


def with_an_order(row: str, count: int, seed: int) -> Iterator[Case]:
    """`count` cases of held-out databases whose questions come with two blocks or more."""
    made = 0
    for case in held_out(row, 20 * count, seed):
        if len(_BLOCK.findall(case.sample.messages[0]["content"])) < 2:
            case.connection.close()
            continue
        yield case
        made += 1
        if made == count:
            return


def measure(mover: Mover, cases: Iterable[Case]) -> dict[str, Tally]:
    """By the way in which the KV was come by. Closes the cases' databases."""
    tallies: dict[str, Tally] = {}
    for case in cases:
        prompt, other = mover.encode(case.sample.messages), mover.encode(in_reverse(case.sample.messages))
        whole, logits = mover.kv(prompt.ids)
        kept = mover.reuse(prompt, other, mover.kv(other.ids)[0])
        prefix = Reused(kept.cache, kept.exact_tokens, torch.zeros_like(kept.moved))
        made = {WHOLE: (whole, logits, len(prompt.ids)), PREFIX: mover.filled(prompt, prefix, 0, whole)}
        for share in SHARES:
            made[f"moved, {share:.0%} computed again"] = mover.filled(prompt, kept, share, whole)
        reference = mover.answer(whole, logits, len(prompt.ids))
        for way, (kv, after, tokens) in made.items():
            answer = mover.answer(kv, after, len(prompt.ids), reference)
            right, runs = is_right(case, mover.text(answer))
            tally = Tally(1, answer == reference, right, runs, tokens, len(prompt.ids))
            tallies[way] = tallies.get(way, Tally()) + tally
        case.connection.close()
    return tallies


def main() -> None:
    options = argparse.ArgumentParser(description="Answers from KV that was moved, beside those from a whole prompt.")
    options.add_argument("model", type=Path)
    options.add_argument("--cases", type=int, default=50, help="a row")
    options.add_argument("--seed", type=int, default=Training().held_out_seed)
    options.add_argument("--row", action="append", choices=list(ROWS), help="only this row; may be given again")
    given = options.parse_args()
    mover = Mover(given.model)
    rows: dict[str, dict[str, Tally]] = {}
    for row in given.row or DEFAULT_ROWS:
        rows[row] = measure(mover, with_an_order(row, given.cases, given.seed))
    ways = next(iter(rows.values()))
    rows["all"] = {way: sum((tallies[way] for tallies in rows.values()), Tally()) for way in ways}
    json.dump(
        {row: {way: tally.to_dict() for way, tally in tallies.items()} for row, tallies in rows.items()},
        sys.stdout,
        indent=1,
    )


if __name__ == "__main__":
    main()
