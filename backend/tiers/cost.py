"""What computing KV costs and what fetching it costs, as functions of the number of tokens.

Prefill is a polynomial of degree two: every token passes the weights once (linear), and attends to those before it
(quadratic). A transfer has a latency and a rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PrefillCost:
    """Seconds to the first token of a prompt of which nothing is cached."""

    constant_seconds: float
    per_token_seconds: float
    per_token_squared_seconds: float

    def seconds(self, tokens: float) -> float:
        return self.constant_seconds + self.saved_seconds(tokens)

    def saved_seconds(self, tokens: float) -> float:
        """What it saves to have the first `tokens` tokens, however many follow: the followers attend to them anyway."""
        return tokens * (self.per_token_seconds + self.per_token_squared_seconds * tokens)


@dataclass(frozen=True)
class TransferCost:
    """Seconds to move the KV of a run of tokens, beyond what a request costs in any case."""

    constant_seconds: float
    per_token_seconds: float

    def seconds(self, tokens: float) -> float:
        return self.constant_seconds + self.per_token_seconds * tokens if tokens else 0.0


def break_even_tokens(prefill: PrefillCost, load: TransferCost) -> float | None:
    """The length from which on loading a prefix is cheaper than computing it; `None` where it never is.

    Both costs start at the first token and prefill grows at least linearly, so the two curves cross once at most.
    """
    square = prefill.per_token_squared_seconds
    linear = prefill.per_token_seconds - load.per_token_seconds
    if square <= 0:
        return load.constant_seconds / linear if linear > 0 else None
    root = math.sqrt(linear * linear + 4 * square * load.constant_seconds)
    # Of the two forms of the root, the one that subtracts no near-equal numbers.
    if linear > 0:
        return 2 * load.constant_seconds / (linear + root)
    return (root - linear) / (2 * square)
