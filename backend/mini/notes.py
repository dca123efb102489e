"""What a base says besides what a question needs: documents, patterns, remarks. A reader has to pass them over."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from backend.mini.database import TODAY, ColumnSpec, DatabaseSpec, TableSpec
from backend.mini.naming import invented_word
from backend.mini.query import Measure, Query, Ref
from backend.mini.sql_writer import SqlWriter
from kb.items import Document, Entity, Gotcha, Item, Template, item_id

INSTRUCTIONS = (
    "Answer the question with one SQLite query. Use only what the knowledge below says.",
    "You write SQL. Give one query and nothing else.",
    "Write one SELECT statement that answers the question, from the tables below.",
    "Answer in SQL (SQLite). Follow the rules; do not explain.",
    "You help the finance team. Turn each question into one SQL query over the tables that are described.",
    "Give the SQL for the question. Dialect: SQLite. Only read, never write.",
    "Answer the question with one SQL query.",
)
"""What an assistant may be told in place of the default."""
_CURRENCIES = ("euros", "dollars", "yen")
_TEAMS = ("finance", "sales", "support", "operations", "the warehouse", "controlling", "marketing", "the data team")


@dataclass(frozen=True, slots=True)
class Notes:
    """Draws items that nothing depends on. None says what a column means."""

    spec: DatabaseSpec
    random: Random

    def some(self) -> list[Item]:
        """None most of the time, else up to three."""
        count = self.random.choice((0, 0, 0, 1, 2, 3))
        made = [self.random.choice((self.document, self.template, self.remark))() for _ in range(count)]
        return list({item.id: item for item in made if item is not None}.values())

    def document(self) -> Item:
        random = self.random
        word, team = invented_word(random), random.choice(_TEAMS)
        table = random.choice(self.spec.tables)
        title, text = random.choice(
            (
                ("The year", f"The year of {team} is the calendar year. 'Today' is {TODAY}, the last day in the data."),
                ("Time zone", "Times are in UTC. Days begin at midnight."),
                (
                    "Currency",
                    f"Amounts are in {random.choice(_CURRENCIES)} unless something else is said.",
                ),
                (f"{word.capitalize()}", f"{word.capitalize()} is what {team} calls a report that is sent on Mondays."),
                ("Loading", f"{table.name} is loaded every night by {team}; the job takes an hour."),
                ("Quarters", "Quarters are those of the calendar. The first begins on 1 January."),
                ("Who to ask", f"Questions about {table.thing.plural} go to {team}."),
            )
        )
        return Item(item_id("document", f"{title}-{word}"), title, Document(text, source=f"handbook of {team}"))

    def template(self) -> Item | None:
        """A pattern with places to fill in."""
        table = self.random.choice(self.spec.tables)
        columns = table.of_role("category", "label", "code")
        if not columns:
            return None
        column = self.random.choice(columns)
        sql = SqlWriter(Query(table, Measure("count")), {}).sql()
        where = SqlWriter(Query(table, shown=(Ref(table, column),)), {}).sql().split()[1]
        question = f"How many {table.thing.plural} have the {column.spoken} {{value}}?"
        body = Template(question, f"{sql} WHERE {where} = '{{value}}'")
        return Item(item_id("template", f"{table.name}-{column.name}"), question, body)

    def remark(self) -> Item | None:
        """What two dates of a table are, in prose."""
        table = self.random.choice(self.spec.tables)
        dates = table.of_role("date")
        if len(dates) < 2:
            return self._history(table)
        first, second = self.random.sample(dates, 2)
        names = [f"{table.name}.{column.name}" for column in (first, second)]
        text = self.random.choice(
            (
                f"{names[0]} is the {first.spoken}; {names[1]} is the {second.spoken} and may lie in another month.",
                f"{names[0]} and {names[1]} are two dates: {_article(first)}, and {_article(second)}.",
            )
        )
        return _remark(table, text, names)

    def _history(self, table: TableSpec) -> Item:
        text = self.random.choice(
            (
                f"{table.name} holds one row for each {table.thing.singular}.",
                f"{table.name} was moved from another system in {self.random.randint(2015, 2024)}.",
                f"Rows of {table.name} are never deleted.",
            )
        )
        return _remark(table, text, [table.name])


def _article(column: ColumnSpec) -> str:
    return f"the {column.spoken} as people say it"


def _remark(table: TableSpec, text: str, names: list[str]) -> Item:
    return Item(
        item_id("gotcha", f"{table.name}-about"),
        f"About {table.name}",
        Gotcha(text),
        entities=tuple(Entity(name) for name in names),
    )
