"""A prompt cut into its items, in tokens: what the bound reorders."""

from __future__ import annotations

from evals.bench.prefix.bound import Pieces
from evals.bench.prefix.engines import CountingEngine
from gateway.prompt import GAP, Prompt


def pieces_of(prompt: Prompt, engine: CountingEngine) -> Pieces | None:
    """Of a conversation's first prompt. `None` where its tokens are not as many as its pieces have one by one.

    An item comes with the gap after it, since tokenizers join that gap to the end of an item; the gap before the first
    one, to its beginning. So in another place an item may begin or end with another token, and the bound, which takes
    them as equal, is still a bound.
    """
    assert len(prompt.messages) == 2, "a system message and a question"
    system, texts, at = prompt.messages[0]["content"], {}, 0
    for part in prompt.parts:
        if part.message == 0 and part.item is not None:
            texts[part.item] = system[at : at + part.characters].removeprefix(GAP)
        at += part.characters if part.message == 0 else 0
    before, after = engine.rendered(prompt.messages).split(system, 1)
    first = next(iter(texts.values()), None)
    head = engine.ids_of(before + (system[: system.index(first)].removesuffix(GAP) if first is not None else system))
    items = {name: tuple(engine.ids_of(text + GAP)) for name, text in texts.items()}
    pieces = Pieces(tuple(head), items, tuple(engine.ids_of(after)))
    return pieces if pieces.tokens == len(engine.ids_of(engine.rendered(prompt.messages))) else None
