"""The prompt of a question, made by the product's own parts: knowledge base, retrieval with its defaults, assembly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from backend.mini.answer_file import Prompt, prompt_of
from evals.bench.mini.knowledge import tables_of
from evals.bench.mini.question_set import Group, Question, QuestionSet, Step
from evals.bench.remembering import Remembering
from gateway.conversation import ask
from gateway.placements import Placed, Placements
from gateway.prompt import DEFAULT_INSTRUCTIONS, assemble, newly_needed
from kb.embedding import Embedder
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.retrieval import Retriever


@dataclass(frozen=True, slots=True)
class Task:
    """A question at a step of its base, and what the engine would get."""

    set: QuestionSet
    group: Group
    step: Step
    question: Question
    prompt: Prompt


def tasks_of(sets: Sequence[QuestionSet], embedder: Embedder, say: Callable[[str], None]) -> list[Task]:
    """Every question at every step of its base."""
    remembering = Remembering(embedder)
    store = MemoryStore()
    retriever = Retriever(store, remembering)
    made: list[Task] = []
    for asked in sets:
        remembering.embed([question.text for group in asked.groups for question in group.questions])
        for group in asked.groups:
            made += _grown(asked, group, store, retriever, remembering)
        say(f"{asked.name}: {sum(len(group.questions) for group in asked.groups)} questions assembled")
    return made


def _grown(
    asked: QuestionSet, group: Group, store: MemoryStore, retriever: Retriever, remembering: Remembering
) -> Iterator[Task]:
    base = KnowledgeBase.create(store, "bench", f"{asked.name}.{group.database}".replace(" ", "-"), author="bench")
    for step in group.steps:
        if step.added:
            base.commit(Changes(put=step.added), author="bench", message=step.label)
        # What retrieval will embed, all at once, which is several times faster than one by one.
        remembering.embed([retriever.mask(base, question.text).text for question in group.questions])
        for question in group.questions:
            yield Task(asked, group, step, question, _prompt(base, retriever, question.text))


def _prompt(base: KnowledgeBase, retriever: Retriever, question: str) -> Prompt:
    """As `gateway.answering.prepare` makes it for the first turn of a conversation."""
    hits = retriever.retrieve(base, question).hits
    placed = newly_needed([Placed(hit.item, hit.item_hash) for hit in hits], ())
    messages = assemble(DEFAULT_INSTRUCTIONS, ask(question), Placements(placed)).messages
    return prompt_of(messages, tables_of(entry.item for entry in placed))
