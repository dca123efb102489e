"""What comes with what was found: the tables a metric or answer is made of, the joins between tables, gotchas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kb.commit_index import CommitIndex
from kb.entities import Mention, name_key
from kb.fusion import named_by
from kb.hit import Hit, is_always
from kb.items import Item, Relationship, Schema


def referenced(index: CommitIndex, hits: list[Hit], patterns: Sequence[Hit]) -> list[Hit]:
    """`hits`, with the tables that a found metric, document, template or success is made of.

    A confirmed answer to a like question, or a metric that the question names, is better evidence for its tables than
    their own likeness to the question: the better the one fits, the nearer its tables come to the best. A table that
    was found itself counts by the better of the two.
    """
    found = {hit.item.id: hit for hit in hits}
    best = max((hit.score for hit in hits if hit.item.kind == "schema"), default=1.0)
    for hit in (*patterns, *hits):
        if hit.item.kind not in ("metric", "document", "template", "success"):
            continue
        score = best * min(1.0, hit.score)
        for slot in index.tables_of(hit.item):
            table = index.item(slot).id
            known = found.get(table)
            if known is None:
                found[table] = index.hit(slot, score, f"used by {hit.item.id}")
            elif known.score < score and not is_always(known.item):
                found[table] = replace(known, score=score, reasons=(*known.reasons, f"used by {hit.item.id}"))
    return list(found.values())


def joined(index: CommitIndex, hits: list[Hit]) -> list[Hit]:
    """Relationships along the shortest paths between found tables, and the tables between them."""
    tables = [hit for hit in hits if hit.item.kind == "schema"]
    have = {hit.item.id for hit in hits}
    scores = {hit.item.id: hit.score for hit in tables}
    added: dict[str, Hit] = {}
    for path in index.join_paths([hit.item for hit in tables]):
        score = min(scores[path.start], scores[path.end])
        end = "itself" if path.end == path.start else path.end.partition(":")[2]
        reason = f"joins {path.start.partition(':')[2]} and {end}"
        for item_id in (*path.relationships, *path.between):
            if item_id not in have and item_id not in added:
                slot = index.slot(item_id)
                assert slot is not None, "a path is made of the commit's items"
                added[item_id] = index.hit(slot, score, reason)
    return list(added.values())


def gotchas(index: CommitIndex, mentions: Sequence[Mention], hits: list[Hit]) -> list[Hit]:
    """Gotchas one of whose entities occurs in the question or in what was retrieved for it."""
    found: dict[int, Hit] = {}
    for slot in index.gotchas_named(mentions):
        share, surfaces = named_by(mentions, slot)
        found[slot] = index.hit(slot, 1.0 + share, "names " + ", ".join(surfaces))
    retrieved = {key: hit.item.id for hit in reversed(hits) for key in _keys(hit.item)}
    for slot in index.gotchas_about(retrieved.keys()):
        about = [entity.name for entity in index.item(slot).entities if name_key(entity.name) in retrieved]
        if about and slot not in found:
            reason = f"about {about[0]}, retrieved as {retrieved[name_key(about[0])]}"
            found[slot] = index.hit(slot, 0.5, reason)
    return list(found.values())


def connected(hits: list[Hit]) -> list[Hit]:
    """Without the joins of tables that the limit of tables cut off."""
    bodies = [hit.item.body for hit in hits]
    tables = {(body.database, body.table) for body in bodies if isinstance(body, Schema)}
    kept: list[Hit] = []
    for hit in hits:
        body = hit.item.body
        if isinstance(body, Relationship) and hit.item.usage != "always":
            if {(body.database, body.left_table), (body.database, body.right_table)} <= tables:
                kept.append(hit)
        else:
            kept.append(hit)
    return kept


def _keys(item: Item) -> list[str]:
    names = [entity.name for entity in item.entities]
    if isinstance(item.body, Schema):
        names.append(item.body.table)
        names.extend(f"{item.body.table}.{column.name}" for column in item.body.columns)
    return [name_key(name) for name in names]
