"""A conversation as a client sends it: its whole history, the last message being the question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from backend.engine import Message
from gateway.errors import BadRequest

_BROKEN = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Conversation:
    """`messages` are the user's and assistant's in turn; `system` is the client's own system text."""

    system: tuple[str, ...]
    messages: tuple[Message, ...]

    @property
    def user_turns(self) -> tuple[Message, ...]:
        return tuple(message for message in self.messages if message["role"] == "user")

    @property
    def question(self) -> str:
        return self.messages[-1]["content"]

    @property
    def follows(self) -> str:
        """The question that was answered just before, whose words a follow-up leans on; empty where there is none."""
        match [message["role"] for message in self.messages[-3:]]:
            case ["user", "assistant", "user"]:
                return self.messages[-3]["content"]
            case _:
                return ""


def parse_conversation(messages: Sequence[Message]) -> Conversation:
    """Raises `BadRequest` unless it ends with a user's message that says something, and all of it can be stored."""
    for index, message in enumerate(messages):
        require_storable(message["content"], f"messages[{index}].content", "messages")
    system = tuple(m["content"] for m in messages if m["role"] in ("system", "developer"))
    turns = tuple(m for m in messages if m["role"] not in ("system", "developer"))
    if not turns or turns[-1]["role"] != "user":
        raise BadRequest("the last message must be the user's question (role 'user')", "messages")
    if not turns[-1]["content"].strip():
        raise BadRequest("the question is empty; put it into the content of the last message", "messages")
    return Conversation(system, turns)


def require_storable(text: str, what: str, param: str | None = None) -> str:
    """The text itself. Raises `BadRequest` for what cannot be stored: NUL (PostgreSQL), half a pair (UTF-8)."""
    broken = _BROKEN.search(text)
    if broken is not None:
        raise BadRequest(f"{what} holds {broken[0]!r}, which is no character of a text; leave it out", param or what)
    return text


def ask(question: str) -> Conversation:
    """A conversation of one question."""
    return parse_conversation([{"role": "user", "content": question}])
