"""The hash chain of a conversation's messages."""

from __future__ import annotations

from gateway.message_chain import MessageChain, Scope, common_prefix

SECRET = b"s" * 32
SCOPE = Scope("acme", "shop", "shop", "ada")


def chain(*said: tuple[str, str], scope: Scope = SCOPE, secret: bytes = SECRET) -> MessageChain:
    return MessageChain(scope.key(secret), tuple({"role": role, "content": content} for role, content in said))


def test_a_link_stands_for_all_messages_up_to_it_and_for_none_after() -> None:
    first, longer = chain(("user", "a"), ("assistant", "b")), chain(("user", "a"), ("assistant", "b"), ("user", "c"))
    assert longer.links[:2] == first.links
    assert chain(("user", "x"), ("assistant", "b")).links[1] != first.links[1]


def test_texts_that_join_to_the_same_letters_are_different_conversations() -> None:
    assert chain(("user", "ab"), ("user", "c")).links[-1] != chain(("user", "a"), ("user", "bc")).links[-1]


def test_who_said_it_counts() -> None:
    assert chain(("user", "a")).links != chain(("assistant", "a")).links


def test_the_key_is_of_the_secret_and_of_each_part_of_the_scope() -> None:
    scopes = [
        SCOPE,
        Scope("acmeshop", "", "shop", "ada"),
        Scope("acme", "shop", "shopada"),
        Scope("acme", "other", "shop", "ada"),
    ]
    links = {chain(("user", "a"), scope=scope).links for scope in scopes}
    assert len(links | {chain(("user", "a"), secret=b"t" * 32).links}) == len(scopes) + 1


def test_a_tail_is_of_the_last_question_and_answer_alone() -> None:
    whole = chain(("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2"))
    assert whole.tail == chain(("user", "q2"), ("assistant", "a2")).tail
    assert whole.tail != chain(("user", "q1"), ("assistant", "a1")).tail
    assert chain(("user", "q2")).tail is None
    assert chain(("assistant", "a"), ("assistant", "b")).tail is None


def test_what_two_sequences_begin_with() -> None:
    assert [common_prefix(a, b) for a, b in (("ab", "ac"), ("ab", "ab"), ("ab", "abc"), ("", "a"), ("x", "y"))] == [
        1,
        2,
        2,
        0,
        0,
    ]
