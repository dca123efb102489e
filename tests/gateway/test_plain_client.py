"""Whole conversations of a plain OpenAI client, which sends its history back and knows nothing of Kvasir.

What counts is the prompt that the engine gets: a later turn changes no byte of what stands before it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import openai
import pytest

from backend.engine import Message
from backend.errors import EngineInterrupted
from gateway.settings import Settings
from kb.items import Gotcha, Item, Preference
from kb.knowledge_base import Changes

QUESTIONS = (
    "Which supplier has the longest lead time?",
    "And how many returns were there?",
    "How many shipments came late?",
    "What do employees earn by department?",
)


class Client:
    """What a chat window does: keep the messages, append, send them all."""

    def __init__(self, served: Any, model: str = "shop") -> None:
        self.api = openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0)
        self.engine, self.model = served.engine, model
        self.messages: list[Any] = []

    def ask(self, question: str, answer: str) -> tuple[Message, ...]:
        """The prompt that the engine got."""
        self.messages.append({"role": "user", "content": question})
        return self.send(answer)

    def send(self, answer: str) -> tuple[Message, ...]:
        self.engine.enqueue(answer)
        said = self.api.chat.completions.create(model=self.model, messages=self.messages).choices[0].message.content
        self.messages.append({"role": "assistant", "content": said})
        prompt: tuple[Message, ...] = self.engine.calls[-1].messages
        return prompt

    def regenerate(self, answer: str) -> tuple[Message, ...]:
        self.messages.pop()
        return self.send(answer)


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> Settings:
    url = None if request.param == "sqlite" else request.getfixturevalue("fresh_postgres")
    return make_settings(url, verified_answers=False)


def test_no_turn_changes_a_byte_of_those_before_it(settings: Settings, serve: Callable[..., Any]) -> None:
    client = Client(serve(settings))
    prompts = [client.ask(question, f"SELECT {turn}") for turn, question in enumerate(QUESTIONS)]
    for before, after in pairwise(prompts):
        assert after[: len(before)] == before
    assert any("<schema" in prompt[-1]["content"] for prompt in prompts[1:]), "no later turn placed anything"


def test_a_commit_in_between_changes_no_byte_of_the_history(settings: Settings, serve: Callable[..., Any]) -> None:
    served = serve(settings)
    client = Client(served)
    before = client.ask(QUESTIONS[0], "SELECT 1")
    base = served.core.base("default", "shop")
    text = "Returns that were refused are not returns."
    base.commit(Changes((Item("gotcha:a", "A", Gotcha(text), refs=("schema:returns",)),)), author="ann", message="x")
    schema = base.item("schema:suppliers")
    base.commit(Changes(remove=("schema:suppliers",)), author="ann", message="y")
    after = client.ask(QUESTIONS[1], "SELECT 2")
    assert after[: len(before)] == before
    assert schema.id in after[0]["content"]


def test_a_gateway_that_was_restarted_goes_on(settings: Settings, serve: Callable[..., Any]) -> None:
    client = Client(serve(settings))
    before = client.ask(QUESTIONS[0], "SELECT 1")
    other = serve(settings, filled=False)
    resumed = Client(other)
    resumed.messages = client.messages
    after = resumed.ask(QUESTIONS[1], "SELECT 2")
    assert after[: len(before)] == before


def test_turns_may_go_to_one_gateway_and_another_in_turn(settings: Settings, serve: Callable[..., Any]) -> None:
    one, other = Client(serve(settings)), Client(serve(settings, filled=False))
    other.messages = one.messages
    prompts = [(one, other)[turn % 2].ask(question, f"SELECT {turn}") for turn, question in enumerate(QUESTIONS)]
    for before, after in pairwise(prompts):
        assert after[: len(before)] == before


def test_an_answer_that_is_asked_for_again_has_the_same_prompt(settings: Settings, serve: Callable[..., Any]) -> None:
    client = Client(serve(settings))
    client.ask(QUESTIONS[0], "SELECT 1")
    second = client.ask(QUESTIONS[1], "SELECT 2")
    assert client.regenerate("SELECT 3") == second
    third = client.ask(QUESTIONS[2], "SELECT 4")
    assert third[: len(second)] == second
    assert third[len(second)] == {"role": "assistant", "content": "SELECT 3"}


def test_an_edited_question_keeps_all_that_stands_before_it(settings: Settings, serve: Callable[..., Any]) -> None:
    client = Client(serve(settings))
    client.ask(QUESTIONS[0], "SELECT 1")
    second = client.ask(QUESTIONS[1], "SELECT 2")
    client.ask(QUESTIONS[2], "SELECT 3")
    client.messages = client.messages[:2]
    edited = client.ask("And how many payments were there?", "SELECT 4")
    assert edited[:3] == second[:3]
    assert client.ask(QUESTIONS[3], "SELECT 5")[: len(edited)] == edited


def test_answers_in_the_clients_own_layout_change_no_other_byte(settings: Settings, serve: Callable[..., Any]) -> None:
    client = Client(serve(settings))
    first = client.ask(QUESTIONS[0], "SELECT name\nFROM suppliers")
    client.messages[-1]["content"] = "```sql\nSELECT name FROM suppliers\n```"
    second = client.ask(QUESTIONS[1], "SELECT count(*)\nFROM returns\n")
    assert second[: len(first)] == first
    client.messages[-1]["content"] = "SELECT count(*) FROM returns"
    third = client.ask(QUESTIONS[2], "SELECT 3")
    assert third[: len(second)] == second


def test_a_client_that_drops_its_oldest_turns_keeps_the_system_message(
    settings: Settings, serve: Callable[..., Any]
) -> None:
    client = Client(serve(settings))
    for turn, question in enumerate(QUESTIONS[:3]):
        whole = client.ask(question, f"SELECT {turn}")
    client.messages = client.messages[2:]
    shortened = client.ask(QUESTIONS[3], "SELECT 4")
    assert shortened[0] == whole[0]
    assert shortened[1:4] == whole[3:6]
    # From here on it is append-only again.
    assert client.ask(QUESTIONS[0], "SELECT 5")[: len(shortened)] == shortened


def test_half_an_answer_that_stayed_in_the_history_keeps_what_its_turn_placed(
    settings: Settings, serve: Callable[..., Any]
) -> None:
    served = serve(settings)
    client = Client(served)
    served.engine.enqueue_stream("SELECT name ", EngineInterrupted("main", "connection lost"))
    client.messages = [{"role": "user", "content": QUESTIONS[0]}]
    stream = client.api.chat.completions.create(model="shop", messages=client.messages, stream=True)
    with pytest.raises(openai.APIError, match="stopped before its end"):
        list(stream)
    before = served.engine.calls[-1].messages
    client.messages.append({"role": "assistant", "content": "SELECT name "})
    assert client.ask(QUESTIONS[1], "SELECT 2")[: len(before)] == before


def test_a_question_that_failed_and_stayed_in_the_history_does_not_fill_the_next_prompt(
    settings: Settings, serve: Callable[..., Any]
) -> None:
    served = serve(settings)
    client = Client(served)
    served.engine.config = type(served.engine)(window_tokens=200).config
    with pytest.raises(openai.BadRequestError, match="window"):
        client.ask("Which supplier " + "really " * 300 + "has the longest lead time?", "")
    served.engine.config = type(served.engine)().config
    alone = Client(served).ask(QUESTIONS[1], "SELECT 1")
    assert client.ask(QUESTIONS[1], "SELECT 2")[0] == alone[0]


def test_two_users_with_the_same_words_do_not_share_preferences(settings: Settings, serve: Callable[..., Any]) -> None:
    served = serve(settings)
    wish = Item("preference:ada", "Ada", Preference("Ada wants cents.", "ada"))
    served.core.base("default", "shop").commit(Changes((wish,)), author="ann", message="x")
    histories = []
    for user in ("ada", "bob"):
        served.engine.enqueue("SELECT 1", "SELECT 2")
        first = [{"role": "user", "content": QUESTIONS[0]}]
        for messages in (first, [*first, {"role": "assistant", "content": "SELECT 1"}, *first]):
            assert served.ask(messages, user=user).status_code == 200
        histories.append(served.engine.calls[-1].messages)
    ada, bob = histories
    assert "Ada wants cents." in ada[0]["content"]
    assert "Ada wants cents." not in str(bob)
