"""What a large company might know: databases of 60 tables with their joins, metrics, notes, mistakes and answers.

Any number of items, the same each time, with questions about them. The words are common and recur everywhere, so that
a question names thousands of items, as it does where every other table has a `status`.
"""

from __future__ import annotations

from kb.items import (
    Column,
    Document,
    Entity,
    Gotcha,
    Item,
    Metric,
    Relationship,
    Rule,
    Schema,
    Success,
    item_id,
)

DATABASE_ITEMS = 500
TABLES = 60
RULES = 5
"""In the first database, in every prompt."""

_NOUNS = (
    "order customer invoice payment shipment product supplier warehouse contract employee campaign ticket refund "
    "subscription region branch vehicle route session device sensor batch recipe patient visit claim policy agent "
    "account transfer loan course student exam flight booking room menu project task"
).split()
_COLUMNS = (
    "status total created_at updated_at amount currency country city priority channel quantity weight score kind "
    "owner_id parent_id started_at ended_at is_test deleted_at rate discount tax margin grade source reason note code"
).split()
_FORMS = (
    "How many {such} {table} have a {first} of {number}?",
    "Which {such} {table} of {place} had the highest {first} last {span}?",
    "What is the average {first} by {second} of the {such} {table} since {number}?",
    "Show the {such} {table} whose {first} is above {number} and whose {second} is missing",
    "Did the {first} of our {such} {table} grow in {place} during the {span}?",
    "List every {second} of {such} {table} in {place}, with the sum of {first}",
)
_SUCH = "new old late early large small open closed paid free local foreign urgent regular broken shared hidden".split()
_PLACES = "Berlin Lyon Porto Oslo Kraków Graz Ghent Turin Malmö Cork Split Brno".split()
_SPANS = "week month quarter year spring summer autumn winter".split()


def warehouse_item(number: int) -> Item:
    database, place = divmod(number, DATABASE_ITEMS)
    name = f"unit_{database}"
    if place < TABLES:
        return _schema(name, database, place)
    kind, turn = divmod(place - TABLES, TABLES)
    table = _table(database, turn)
    first, second = _column(database + turn, 0), _column(database + turn, 1)
    key = f"{name}.{turn}"
    match kind:
        case 0:
            join = Relationship(table, ("parent_id",), _table(database, turn // 2), ("id",), database=name)
            return Item(item_id("relationship", key), f"{table} and its parent", join)
        case 1:
            words = f"{first.replace('_', ' ')} per {second.replace('_', ' ')}"
            definition = f"The {words} of {table} in {name}, without tests and what was deleted."
            entity = Entity(f"{words} of {name}", (f"{table} {first} figure",))
            return Item(item_id("metric", key), words, Metric(definition, f"sum({table}.{first})"), (entity,))
        case 2:
            text = f"In {name}, use {table}.{first}, not {table}.{second}."
            return Item(item_id("gotcha", key), text, Gotcha(text), (Entity(f"{table}.{first}"),))
        case 3:
            text = f"How {name} keeps its {table}: each {_SPANS[turn % 8]} the {second} team reads every {first}."
            return Item(item_id("document", key), f"{table} in {name}", Document(text, "handbook"))
        case 4 if database == 0 and turn < RULES:
            return Item(item_id("rule", key), f"Rule {turn}", Rule(f"Leave out {table} that are tests."))
        case _:
            answer = f"SELECT count(*) FROM {table} WHERE {first} > {place}"
            about = tuple(f"{table}.{column}" for column in (first, second))
            asked = Success(question(number), answer)
            return Item(item_id("success", f"{name}.{place}"), f"{table} by {first}", asked, depends_on=about)


def edited_item(number: int, edition: int) -> Item:
    """A metric, with a definition that no other has: a text to embed and to index."""
    item = warehouse_item(number // DATABASE_ITEMS * DATABASE_ITEMS + 2 * TABLES + number % TABLES)
    assert isinstance(item.body, Metric), "the third sixty of a database are metrics"
    body = Metric(f"{item.body.definition} Edition {edition}.", item.body.expression)
    return Item(item.id, item.title, body, item.entities)


def question(number: int) -> str:
    """One about the tables of the item's database."""
    database, place = divmod(number, DATABASE_ITEMS)
    return _FORMS[number % len(_FORMS)].format(
        table=_table(database, place * 7 % TABLES).replace("_", " "),
        first=_column(number, 0).replace("_", " "),
        second=_column(number, 1).replace("_", " "),
        such=_SUCH[number // 6 % len(_SUCH)],
        number=number * 13 % 5000,
        place=_PLACES[number % len(_PLACES)],
        span=_SPANS[number // 3 % len(_SPANS)],
    )


def _schema(name: str, database: int, place: int) -> Item:
    table = _table(database, place)
    columns = [Column("id", "integer", primary_key=True), Column("parent_id", "integer")]
    columns += [Column(_column(database + place, turn), "text") for turn in range(7)]
    body = Schema(table, tuple(dict.fromkeys(columns)), database=name)
    return Item(item_id("schema", f"{name}.{table}"), table, body)


def _table(database: int, place: int) -> str:
    """Sixty-four different ones in a database."""
    first, second = divmod(place % 64, 8)
    return f"{_NOUNS[(database + first) % len(_NOUNS)]}_{_NOUNS[(5 * database + second) % len(_NOUNS)]}"


def _column(number: int, turn: int) -> str:
    return _COLUMNS[(number * 5 + turn * 3) % len(_COLUMNS)]
