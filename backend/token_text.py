"""Tokens to text, one at a time: a character may span tokens, and a stop string may too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_REPLACEMENT = "�"


class TokenText:
    """Collects tokens and gives out the text that is final.

    `decode` turns token ids into text. Text is held back while it ends in half a character, or could be the
    beginning of a stop string. `stopped` turns true when a stop string is complete; it is not part of the text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: tuple[str, ...]) -> None:
        self._decode = decode
        self._stop = tuple(text for text in stop if text)
        self._tokens: list[int] = []
        self._given_until = 0
        self._context_from = 0
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """Text that became final with `token`; often "" or more than this token's own."""
        self._tokens.append(token)
        return self._release(self._decoded(flush=False), flush=False)

    def finish(self) -> str:
        """What was held back, when no token follows."""
        return self._release(self._decoded(flush=True), flush=True)

    def _decoded(self, *, flush: bool) -> str:
        # Decoding starts a few tokens back: some tokenizers give a token's text only in the context of the one before.
        before = self._decode(self._tokens[self._context_from : self._given_until])
        text = self._decode(self._tokens[self._context_from :])
        if text.endswith(_REPLACEMENT) and not flush:
            return ""
        self._context_from, self._given_until = self._given_until, len(self._tokens)
        return text[len(before) :]

    def _release(self, new: str, *, flush: bool) -> str:
        if self.stopped:
            return ""
        text = self._held + new
        cut = min((at for stop in self._stop if (at := text.find(stop)) >= 0), default=-1)
        if cut >= 0:
            self.stopped, self._held = True, ""
            return text[:cut]
        keep = 0 if flush else self._possible_stop_chars(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _possible_stop_chars(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        longest = 0
        for stop in self._stop:
            for chars in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:chars]):
                    longest = chars
                    break
        return longest
