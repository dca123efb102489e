"""Any client that branches, edits, rewrites answers or drops messages: what of its history stays, stays byte by byte.

The client is played with the real store; each of its questions places what no question before has placed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backend.engine import Message
from gateway.conversation import parse_conversation
from gateway.message_chain import Scope
from gateway.placements import Placed, Placements, reference
from gateway.prompt import assemble, newly_needed
from gateway.sessions import Sessions
from kb.database import open_database, upgrade
from kb.items import Item, Rule

NUMBERS = itertools.count()
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["ask", "regenerate", "edit", "rewrite", "drop", "cut out"]), st.integers(0, 99)),
    min_size=3,
    max_size=12,
)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db")
    upgrade(database)
    yield Sessions(database)
    database.dispose()


@dataclass
class Player:
    """A client and its gateway. `sent` holds the last prompt's messages."""

    sessions: Sessions
    scope: Scope = field(default_factory=lambda: Scope("acme", "shop", "shop", f"user {next(NUMBERS)}"))
    messages: list[Message] = field(default_factory=list)
    sent: tuple[Message, ...] = ()
    items: dict[str, Item] = field(default_factory=dict)

    def ask(self, question: str) -> None:
        self.messages.append({"role": "user", "content": question})
        conversation = parse_conversation(self.messages)
        session = self.sessions.find(self.scope, conversation, None)
        items = [Item(f"rule:{next(NUMBERS)}", "x", Rule(f"placed with {question}")) for _ in range(2)]
        self.items.update((item.id, item) for item in items)
        new = [Placed(item, item.id) for item in items]
        if session.placements is None:
            # As a planner would, against the order of ids.
            new = [replace(entry, place=place) for entry, place in zip(new, (2, 1), strict=True)]
            placed = Placements(newly_needed(new, ()), tuple(() for _ in conversation.user_turns))
        else:
            earlier = session.placements.map(
                lambda entry: Placed(self.items[entry.item_id], entry.item_hash, entry.reach, entry.place)
            )
            placed = Placements(earlier.system, (*earlier.turns, newly_needed(new, earlier)))
        self.sent = assemble("Answer.", conversation, placed).messages
        answer = f"answer {next(NUMBERS)}"
        self.sessions.keep(self.scope, session.id, conversation, placed.map(reference), answer)
        self.messages.append({"role": "assistant", "content": answer})


def questions(messages: list[Message]) -> list[int]:
    return [place for place, message in enumerate(messages) if message["role"] == "user"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
@example(actions=[*[("ask", 0)] * 4, ("rewrite", 0), ("ask", 0), ("drop", 1), ("edit", 67), ("edit", 1)])
def test_what_stays_of_a_history_keeps_its_bytes(sessions: Sessions, actions: list[tuple[str, int]]) -> None:
    player = Player(sessions)
    player.ask("the first question")
    shortened, begun = False, 0
    for action, number in actions:
        before, had = player.sent, list(player.messages)
        places = questions(had)
        place = places[number % len(places)]
        if action == "regenerate":
            player.messages = had[: places[-1]]
        elif action == "edit":
            player.messages = had[:place]
        elif action == "rewrite":
            player.messages[-1] = {"role": "assistant", "content": f"{had[-1]['content']}, says the client"}
        elif action == "drop" and place:
            player.messages = had[place:]
        elif action == "cut out" and 0 < place < places[-1]:
            player.messages = [*had[:place], *had[places[-1] :]]
        kept = len(player.messages)
        rewritten = kept and player.messages[-1]["content"].endswith("says the client")
        question = had[places[-1]]["content"] if action == "regenerate" else f"question {next(NUMBERS)}"
        player.ask(question)
        shortened = shortened or action in ("drop", "cut out")
        if kept == 0 or (shortened and rewritten) or kept <= begun:
            # Nothing of the history is left; or, of a shortened one, no question and answer by which it can be found;
            # or all that is left is older than such a new beginning, and of the conversation before.
            begun = kept
            continue
        assert player.sent[0] == before[0], action
        if action == "drop":
            assert player.sent[1:kept] == before[len(had) - kept + 1 : len(before)]
        elif action == "cut out":
            assert player.sent[1 : place + 1] == before[1 : place + 1]
        else:
            shared = min(kept + 1, len(before))
            assert player.sent[:shared] == before[:shared]
