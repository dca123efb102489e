"""A prompt cut into its items, in tokens: what the bound reorders."""

from __future__ import annotations

from evals.bench.prefix.bound import Pieces
from evals.bench.prefix.engines import CountingEngine
from gateway.prompt import Prompt


def pieces_of(prompt: Prompt, engine: CountingEngine) -> Pieces | None:
    """Of a conversation's first prompt. `None` where its tokens are not those of its pieces one after the other."""
    assert len(prompt.messages) == 2, "a system message and a question"
    system, texts, at = prompt.messages[0]["content"], {}, 0
    first = len(system)
    for part in prompt.parts:
        if part.message == 0 and part.item is not None:
            first = min(first, at)
            texts[part.item] = system[at : at + part.characters]
        at += part.characters if part.message == 0 else 0
    whole = engine.rendered(prompt.messages)
    before, after = whole.split(system, 1)
    head = engine.ids_of(before + system[:first])
    items = {name: tuple(engine.ids_of(text)) for name, text in texts.items()}
    pieces = Pieces(tuple(head), items, tuple(engine.ids_of(after)))
    return (
        pieces if [*head, *(i for ids in items.values() for i in ids), *pieces.tail] == engine.ids_of(whole) else None
    )
