"""A request before an engine is asked: what was retrieved for it, and the prompt that it makes."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field, replace

from backend.client import Sampling
from backend.tiers.use_case import UseCase
from gateway.conversation import Conversation
from gateway.core import Assistant, Core
from gateway.message_chain import Scope
from gateway.new_tables import NewTables
from gateway.other_values import with_question_values
from gateway.placements import Placed, Placements, References
from gateway.planner import Planner
from gateway.prompt import Prompt, assemble, newly_needed
from gateway.sessions import Session
from gateway.sql_grammar import grammar_of
from kb.hit import Limits
from kb.items import Item
from kb.retrieval import Retrieval
from kb.same_question import same_question


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to an assistant. `user` is who asks, in the client's words; `id` will be the request's.

    `use_case` goes before the assistant's.
    """

    tenant: str
    assistant: str
    conversation: Conversation
    user: str = ""
    session_id: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    use_case: UseCase | None = None
    id: str = field(default_factory=lambda: f"req_{secrets.token_hex(12)}")


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known before an engine is asked. `verified` is a confirmed answer of the same question, or one of its
    template with the question's values in it.

    The sampling of `ask` has the grammar that the assistant's `decoding` asks for.
    """

    ask: Ask
    assistant: Assistant
    retrieval: Retrieval
    session: Session
    placements: Placements[Placed]
    prompt: Prompt
    verified: Item | None
    timings: dict[str, float]

    @property
    def commit(self) -> str:
        return self.retrieval.commit.id

    @property
    def scope(self) -> Scope:
        return _scope(self.ask, self.assistant)


def prepare(
    core: Core, ask: Ask, *, revision: str | None = None, session: Session | None = None, planned: bool = False
) -> Prepared:
    """Retrieve and assemble at the assistant's commit, or at `revision`. A given session is taken as it is.

    With `planned`, a new conversation's items stand where the engine's planner puts them, if it has one: for prompts of
    which nothing is compared. Without, the prompt is a function of commit, assistant and conversation alone.
    """
    assistant = core.assistant(ask.tenant, ask.assistant)
    session = session or _session(core, assistant, ask)
    started = time.perf_counter()
    retrieval = core.retriever.retrieve(
        assistant.base,
        ask.conversation.question,
        revision=revision or assistant.revision,
        subjects=(ask.user,) if ask.user else (),
        limits=assistant.limits if session.placements is None else _limits(assistant.limits, session.placements),
        follows=ask.conversation.follows,
    )
    retrieved_at = time.perf_counter()
    planner = core.planners.of(assistant.settings.engine, assistant.cache_salt) if planned else None
    placements = _placements(core, assistant, ask.conversation, session, retrieval, planner)
    prompt = assemble(assistant.settings.instructions, ask.conversation, placements)
    if assistant.settings.decoding == "sql":
        ask = replace(ask, sampling=replace(ask.sampling, grammar=_grammar(assistant, placements)))
    verified = _verified_answer(core, assistant, ask.conversation, retrieval)
    timings = {
        "retrieve_seconds": retrieved_at - started,
        "assemble_seconds": time.perf_counter() - retrieved_at,
    }
    return Prepared(ask, assistant, retrieval, session, placements, prompt, verified, timings)


def _session(core: Core, assistant: Assistant, ask: Ask) -> Session:
    """The session that asks. Where it has asked before, its KV can come nearer while knowledge is retrieved."""
    session = core.sessions.find(_scope(ask, assistant), ask.conversation, ask.session_id)
    if session.placements is not None and assistant.cache is not None:
        assistant.cache.expect(ask.tenant, session.id)
    return session


def _scope(ask: Ask, assistant: Assistant) -> Scope:
    return Scope(ask.tenant, ask.assistant, assistant.base.name, ask.user)


def _limits(limits: Limits, placed: References) -> Limits:
    """Of a later turn, whose new tables are computed for it alone."""
    return replace(limits, worth=NewTables(frozenset(entry.item_id for entry in placed)).worth)


def _placements(
    core: Core,
    assistant: Assistant,
    conversation: Conversation,
    session: Session,
    retrieval: Retrieval,
    planner: Planner | None,
) -> Placements[Placed]:
    """What earlier turns placed, where they placed it, and what this turn adds."""
    reach = retrieval.reach
    retrieved = [Placed(hit.item, hit.item_hash, reach.get(hit.item.id, 0)) for hit in retrieval.hits]
    if session.placements is None:
        # Nothing is known of the history: everything goes into the system message, nothing into old turns.
        system = newly_needed(retrieved, ())
        if planner is not None:
            system = planner.planned(assistant.settings.instructions, system)
        return Placements(system, tuple(() for _ in conversation.user_turns))
    items = core.retriever.items(assistant.base, (entry.item_hash for entry in session.placements))
    earlier = session.placements.map(
        lambda entry: Placed(items[entry.item_hash], entry.item_hash, entry.reach, entry.place)
    )
    return Placements(earlier.system, (*earlier.turns, newly_needed(retrieved, earlier)))


def _grammar(assistant: Assistant, placements: Placements[Placed]) -> str | None:
    """Over the tables in the prompt; of a schema that was placed again in another wording, the later one counts."""
    latest = {entry.item.id: entry.item for entry in placements}
    return grammar_of(latest.values(), assistant.datasource.dialect if assistant.datasource else None)


def _verified_answer(core: Core, assistant: Assistant, conversation: Conversation, retrieval: Retrieval) -> Item | None:
    """A confirmed success that answers the question. A follow-up has none: its words lean on earlier turns."""
    settings, asked, commit = assistant.settings, retrieval.question, retrieval.commit.id
    if not settings.verified_answers or len(conversation.messages) > 1 or conversation.system:
        return None
    patterns = core.retriever.patterns(assistant.base, revision=commit)
    retrieved = (hit.item for hit in retrieval.of_kind("success"))
    confirmed = [(item, patterns[item.id]) for item in retrieved if item.id in patterns]
    for item, known in confirmed:
        if same_question(asked, known):
            return item
    if not settings.template_answers or assistant.datasource is None:
        return None
    values = core.retriever.values(assistant.base, revision=commit)
    return with_question_values(asked, confirmed, dialect=assistant.datasource.dialect, values=values)
