"""One commit's index: a filter over the shared one, made from another commit's by what differs between the two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from kb.dense_index import Rows
from kb.entities import EntityIndex, Mention, NameKind, name_key
from kb.fusion import Candidates, Evidence, PatternEvidence
from kb.hit import Hit
from kb.item_versions import NONE
from kb.items import Item, Schema
from kb.join_paths import JoinPath
from kb.known_values import Values, known_values
from kb.masking import MaskedQuestion, mask
from kb.name_words import Scores, WordsOfCommit, rarity
from kb.search_text import identifiers, search_text
from kb.shared_index import SharedIndex
from kb.sparse_index import Collection
from kb.store import Vector
from kb.table_chances import TableEvidence

COMMON = 20
"""A name of more tables tells none of them apart."""
Element = TypeVar("Element")
Slots = NDArray[np.int64]


class CommitIndex:
    """`members` says which slots the commit has, `masks` the number of each pattern's masked question, by slot.

    Both have one entry a slot of the shared index as it was when this was made; later slots are other commits'.
    """

    def __init__(
        self, shared: SharedIndex, tree: str | None, members: NDArray[np.bool_], masks: NDArray[np.int32]
    ) -> None:
        self.shared, self.tree, self.members, self.masks = shared, tree, members, masks
        self.entities = EntityIndex(shared.names, members)
        self._about_known: dict[int, list[int]] = {}
        self._neighbours_known: dict[int, NDArray[np.int32]] = {}

    @classmethod
    def of_nothing(cls, shared: SharedIndex) -> CommitIndex:
        """What a base's first index is derived from."""
        return cls(shared, None, np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int32))

    def complete(self) -> None:
        """Make now what the first question would have to wait for."""
        _ = self.always, self._places, self._words, self._rows, self._pattern_rows, self._masked_rows

    def mask(self, question: str) -> MaskedQuestion:
        return mask(question, self.entities.find(question))

    # ── items ────────────────────────────────────────────────────────────────────────────────────────────────

    def slot(self, item_id: str) -> int | None:
        return next(iter(self._present(self.shared.versions.of_id(item_id))), None)

    def item(self, slot: int) -> Item:
        return self.shared.versions.items[slot]

    def is_pattern(self, slot: int) -> bool:
        """Whether a question can match its pattern."""
        return bool(self._column("pattern")[slot] != NONE)

    def hit(self, slot: int, score: float, *reasons: str) -> Hit:
        return Hit(self.item(slot), self.shared.versions.hashes[slot], score, reasons)

    def only_table(self, name: str) -> str | None:
        """The id of the table of that name, where one database alone has it."""
        found = self._present(self.shared.versions.of_table(name))
        return self.item(found[0]).id if len(found) == 1 else None

    def tables_of(self, item: Item) -> list[int]:
        """Slots of the tables among the item's `refs`, and of those whose columns it depends on; by id."""
        used = {self.only_table(column.rpartition(".")[0]) for column in item.depends_on}
        slots = (self.slot(key) for key in sorted({*item.refs, *(table for table in used if table is not None)}))
        return [slot for slot in slots if slot is not None and self.item(slot).kind == "schema"]

    def preferences(self, subject: str) -> list[int]:
        """Slots of what a user or team wants."""
        return self._present(self.shared.versions.of_subject(subject))

    @cached_property
    def always(self) -> list[int]:
        """Slots of what is there whatever the question; preferences are not among them."""
        return [int(slot) for slot in np.flatnonzero(self._column("always") & self.members)]

    def gotchas_named(self, mentions: Sequence[Mention]) -> list[int]:
        """Slots of the gotchas that a question names."""
        slots = {int(slot) for mention in mentions for slot in mention.owners[self._column("gotcha")[mention.owners]]}
        return sorted(slots)

    def gotchas_about(self, keys: Iterable[str]) -> list[int]:
        """Slots of the gotchas that have an entity, or a synonym of one, with one of these keys."""
        slots = {slot for key in keys for slot in self.shared.versions.gotchas(key)}
        return sorted(self._present(slots))

    def join_paths(self, schemas: Sequence[Item]) -> list[JoinPath]:
        return self.shared.joins.paths(schemas, self.members)

    @cached_property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """Table → columns; those of all databases where several have the table."""
        columns: dict[str, dict[str, None]] = {}
        for item in sorted(self._schemas(), key=lambda item: item.id):
            assert isinstance(item.body, Schema), "only tables have a database"
            columns.setdefault(item.body.table, {}).update(dict.fromkeys(column.name for column in item.body.columns))
        return {table: tuple(names) for table, names in sorted(columns.items())}

    @cached_property
    def values(self) -> Values:
        """What the columns' values are called, and where they stand."""
        return known_values(self._schemas())

    def _schemas(self) -> list[Item]:
        return [self.item(int(slot)) for slot in np.flatnonzero(self.members & (self._column("database") != NONE))]

    @cached_property
    def masked(self) -> Mapping[str, MaskedQuestion]:
        """Id of each template and success → its question, masked."""
        return _Masked(self)

    @property
    def pattern_count(self) -> int:
        """Of templates and successes whose likeness to a question counts."""
        return len(self._patterns)

    # ── evidence ─────────────────────────────────────────────────────────────────────────────────────────────

    def evidence(self, question: str, vector: Vector, mentions: Sequence[Mention]) -> Evidence:
        slots = self._searched
        named, surfaces = np.zeros(len(slots)), []
        for mention in mentions:
            places = self._places[mention.owners]
            places = places[places != NONE]
            named[places] += 1 / len(mention.owners) / len(mentions)
            surfaces.append((mention.shown, places))
        bm25, cosine = self._words.scores(question)[slots], self._rows.cosines(vector)
        tables = self._table_evidence(question, cosine, bm25, mentions)
        return Evidence(self._candidates, cosine, bm25, named, tuple(surfaces), tables, self._about)

    def _table_evidence(
        self, question: str, cosine: Scores, bm25: Scores, mentions: Sequence[Mention]
    ) -> TableEvidence:
        places = self._tables_among_candidates
        slots = self._searched[places]
        best = float(bm25[places].max(initial=0.0))
        readings: dict[str, list[str]] = {}
        for written, meant in (reading for mention in mentions for reading in mention.readings):
            readings.setdefault(written, []).append(meant)
        kinds: tuple[NameKind, ...] = ("column", "value")
        said = {kind: np.zeros(len(slots)) for kind in kinds}
        for mention in mentions:
            for kind, scores in said.items():
                owners = self._table_places[mention.owners_by(kind)]
                owners = owners[owners != NONE]
                scores[owners] += rarity(len(owners), len(slots))
        return TableEvidence(
            self._candidates.database[places],
            cosine[places],
            bm25[places] / best if best else bm25[places],
            self._name_words.evidence(question, readings),
            said["column"],
            said["value"],
            self._neighbours,
        )

    def _neighbours(self, table: int) -> NDArray[np.int32]:
        """Places, among the tables, of those that one is joined with."""
        known = self._neighbours_known.get(table)
        if known is None:
            slot = int(self._searched[self._tables_among_candidates[table]])
            known = self._table_places[sorted(self.shared.joins.neighbours(slot, self.members))]
            self._neighbours_known[table] = known
        return known

    def pattern_evidence(self, vector: Vector, masked_vector: Vector) -> PatternEvidence:
        plain, masked = self._pattern_rows.cosines(vector), self._masked_rows.cosines(masked_vector)
        return PatternEvidence(self._pattern_candidates, plain, masked)

    def _about(self, place: int) -> list[int]:
        """Places, among the tables, of those that a candidate is about: by its fields, else by what its text names."""
        known = self._about_known.get(place)
        if known is None:
            item = self.item(int(self._searched[place]))
            slots = self.tables_of(item) or self._tables_written(search_text(item))
            known = [int(table) for table in self._table_places[slots] if table != NONE]
            self._about_known[place] = known
        return known

    def _tables_written(self, text: str) -> list[int]:
        """Slots of the tables that the text names by an identifier; where it names columns alone, of their tables."""
        found: dict[NameKind, set[int]] = {"table": set(), "column": set()}
        for identifier in identifiers(text):
            *tables, last = identifier.split(".")
            found["table"].update(self._owners(tables[-1] if tables else last, "table"))
            found["column"].update(() if tables else self._owners(last, "column"))
        return sorted(found["table"] or found["column"])

    def _owners(self, name: str, kind: NameKind) -> list[int]:
        """Slots of the items that have this name of this kind; of none where so many have it that it says little."""
        owners = [slots for known, slots in self.entities.owners(name_key(name)).items() if known.kind == kind]
        slots = [int(slot) for each in owners for slot in each[: COMMON + 1]]
        return slots if len(slots) <= COMMON else []

    # ── inside: what is made of the members once, when first needed ─────────────────────────────────────────────

    @cached_property
    def _is_searched(self) -> NDArray[np.bool_]:
        return np.asarray(self.members & (self._column("searched") != NONE))

    @cached_property
    def _searched(self) -> Slots:
        return np.flatnonzero(self._is_searched)

    @cached_property
    def _patterns(self) -> Slots:
        return np.flatnonzero(self.members & (self._column("pattern") != NONE))

    @cached_property
    def _places(self) -> NDArray[np.int32]:
        """Slot → place among the candidates, or `NONE`."""
        places = np.full(len(self.members), NONE, dtype=np.int32)
        places[self._searched] = np.arange(len(self._searched), dtype=np.int32)
        return places

    @cached_property
    def _words(self) -> Collection:
        return self.shared.sparse.collection(self._is_searched)

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.shared.dense, self._column("row")[self._searched])

    @cached_property
    def _pattern_rows(self) -> Rows:
        return Rows(self.shared.dense, self._column("row")[self._patterns])

    @cached_property
    def _masked_rows(self) -> Rows:
        return Rows(self.shared.dense, self.shared.patterns.rows[self.masks[self._patterns]])

    @cached_property
    def _tables_among_candidates(self) -> Slots:
        """Places of the tables among the candidates."""
        return np.flatnonzero(self._candidates.is_table)

    @cached_property
    def _table_places(self) -> NDArray[np.int32]:
        """Slot → place among the tables that are candidates, or `NONE`."""
        slots = self._searched[self._tables_among_candidates]
        places = np.full(len(self.members), NONE, dtype=np.int32)
        places[slots] = np.arange(len(slots), dtype=np.int32)
        return places

    @cached_property
    def _name_words(self) -> WordsOfCommit:
        database = self._candidates.database[self._tables_among_candidates]
        return self.shared.words.at(self._table_places, database)

    @cached_property
    def _candidates(self) -> Candidates:
        return self._chosen(self._searched, self._column("searched")[self._searched])

    @cached_property
    def _pattern_candidates(self) -> Candidates:
        return self._chosen(self._patterns, self._column("pattern")[self._patterns])

    def _chosen(self, slots: Slots, kind: NDArray[np.int8]) -> Candidates:
        versions = self.shared.versions
        database = self._column("database")[slots]
        return Candidates(Chosen(versions.items, slots), Chosen(versions.hashes, slots), kind, database)

    def _column(self, name: str) -> NDArray[Any]:
        return self.shared.versions.column(name, len(self.members))

    def _present(self, slots: Iterable[int]) -> list[int]:
        return [slot for slot in slots if slot < len(self.members) and self.members[slot]]


class Chosen(Sequence[Element]):
    """The elements at some places of a list, without a copy of them."""

    def __init__(self, elements: Sequence[Element], places: Slots) -> None:
        self._elements, self._places = elements, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Element: ...
    @overload
    def __getitem__(self, place: slice) -> Chosen[Element]: ...
    def __getitem__(self, place: int | slice) -> Element | Chosen[Element]:
        if isinstance(place, slice):
            return Chosen(self._elements, self._places[place])
        return self._elements[int(self._places[place])]


class _Masked(Mapping[str, MaskedQuestion]):
    def __init__(self, index: CommitIndex) -> None:
        self._index = index

    def __getitem__(self, item_id: str) -> MaskedQuestion:
        slot = self._index.slot(item_id)
        if slot is None or self._index.masks[slot] == NONE:
            raise KeyError(item_id)
        return self._index.shared.patterns.masks[int(self._index.masks[slot])]

    def __iter__(self) -> Iterator[str]:
        return (self._index.item(int(slot)).id for slot in self._slots())

    def __len__(self) -> int:
        return len(self._slots())

    def _slots(self) -> Slots:
        return np.flatnonzero(self._index.masks != NONE)
