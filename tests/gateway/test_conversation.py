"""A conversation as it came: what its last question follows."""

from __future__ import annotations

import pytest

from backend.engine import Message
from gateway.conversation import parse_conversation

ASKED: Message = {"role": "user", "content": "Which parts are late?"}
ANSWERED: Message = {"role": "assistant", "content": "SELECT 1"}
FOLLOW_UP: Message = {"role": "user", "content": "How many?"}


@pytest.mark.parametrize(
    ("messages", "follows"),
    [
        ([FOLLOW_UP], ""),
        ([ASKED, ANSWERED, FOLLOW_UP], ASKED["content"]),
        ([ASKED, FOLLOW_UP], ""),
        ([FOLLOW_UP, ANSWERED, ASKED, ANSWERED, FOLLOW_UP], ASKED["content"]),
        ([{"role": "system", "content": "Be brief."}, ASKED, ANSWERED, FOLLOW_UP], ASKED["content"]),
    ],
)
def test_a_question_follows_the_one_that_was_answered_just_before(messages: list[Message], follows: str) -> None:
    assert parse_conversation(messages).follows == follows
