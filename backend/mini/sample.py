"""A training sample: a prompt as the gateway assembles it, and the SQL that answers it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from backend.engine import Message
from gateway.conversation import Conversation, parse_conversation
from gateway.placements import Placed, Placements
from gateway.prompt import DEFAULT_INSTRUCTIONS, assemble
from kb.codec import encode_item
from kb.items import Item
from kb.objects import pack

Skill = Literal[
    "plain", "gotcha", "rule", "metric", "success", "success among distractors", "follow-up", "conversation", "spider"
]


@dataclass(frozen=True, slots=True)
class Sample:
    """`messages` end with the question; `answer` is the SQL. `pattern` names the kind of query."""

    skill: Skill
    pattern: str
    messages: tuple[Message, ...]
    answer: str

    @property
    def id(self) -> str:
        text = "\n".join(f"{message['role']}: {message['content']}" for message in self.messages)
        return hashlib.sha256(f"{text}\n{self.answer}".encode()).hexdigest()[:16]


def single_turn(skill: Skill, pattern: str, items: Sequence[Item], question: str, answer: str) -> Sample:
    conversation = parse_conversation([{"role": "user", "content": question}])
    return Sample(skill, pattern, _assembled(conversation, [items]), answer)


def two_turns(
    skill: Skill, pattern: str, items: Sequence[Sequence[Item]], turns: tuple[str, str, str], answer: str
) -> Sample:
    """`turns` are the first question, its answer, and the question that follows; `items` are placed turn by turn."""
    first, answered, second = turns
    conversation = parse_conversation(
        [
            {"role": "user", "content": first},
            {"role": "assistant", "content": answered},
            {"role": "user", "content": second},
        ]
    )
    return Sample(skill, pattern, _assembled(conversation, items), answer)


def many_turns(skill: Skill, pattern: str, items: Sequence[Item], turns: Sequence[tuple[str, str]]) -> Sample:
    """`turns` are questions with their answers, all on the first turn's items; the last answer is the sample's."""
    said: list[Message] = []
    for question, answered in turns:
        said += [{"role": "user", "content": question}, {"role": "assistant", "content": answered}]
    placed = [items, *([] for _ in turns[1:])]
    return Sample(skill, pattern, _assembled(parse_conversation(said[:-1]), placed), turns[-1][1])


def under_instructions(sample: Sample, instructions: str) -> Sample:
    """The sample as an assistant with other instructions would see it."""
    said = sample.messages[0]["content"].replace(DEFAULT_INSTRUCTIONS, instructions, 1)
    return replace(sample, messages=(Message(role="system", content=said), *sample.messages[1:]))


def _assembled(conversation: Conversation, items: Sequence[Sequence[Item]]) -> tuple[Message, ...]:
    placements = Placements.by_turn([[Placed(item, pack("item", encode_item(item))[0]) for item in t] for t in items])
    return assemble(DEFAULT_INSTRUCTIONS, conversation, placements).messages
