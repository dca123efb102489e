"""A query in words: the same meaning said in many ways, as different people say it.

The words name tables and columns as people speak of them, so a reader has to find out from the schema how they are
spelled there.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from backend.mini.query import Filter, Measure, Query, Ref, Value

_MONTHS = ("January February March April May June July August September October November December").split()
_AGGREGATES = {
    "sum": ("total", "summed", "overall", "combined"),
    "avg": ("average", "mean", "average"),
    "min": ("lowest", "smallest", "minimum"),
    "max": ("highest", "largest", "maximum"),
}
_ASK_COUNT = (
    "How many {things}{rest} are there?",
    "How many {things}{rest} do we have?",
    "What is the number of {things}{rest}?",
    "Count the {things}{rest}.",
    "Number of {things}{rest}?",
    "Give me the count of {things}{rest}.",
    "How many {things}{rest}?",
    "What is the total number of {things}{rest}?",
    "Find the number of {things}{rest}.",
)
_ASK_VALUE = (
    "What is the {what}{rest}?",
    "What's the {what}{rest}?",
    "Show the {what}{rest}.",
    "Give me the {what}{rest}.",
    "Tell me the {what}{rest}.",
    "I need the {what}{rest}.",
    "Find the {what}{rest}.",
    "Calculate the {what}{rest}.",
    "{what}{rest}?",
)
_ASK_LIST = (
    "List the {what}{rest}.",
    "Show the {what}{rest}.",
    "What are the {what}{rest}?",
    "Which {what}{rest}?",
    "Give me the {what}{rest}.",
    "Return the {what}{rest}.",
    "Find the {what}{rest}.",
    "Show me all {what}{rest}.",
)
_ASK_SHARE = (
    "What share of the {things}{rest} has {condition}?",
    "What fraction of {things}{rest} has {condition}?",
    "Share of {things} with {condition}{rest}?",
)


class Phrasing:
    """Says queries, drawing its words from `random`."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def question(self, query: Query) -> str:
        if query.top is not None:
            text = self._top(query)
        elif query.group is not None:
            text = self._grouped(query)
        elif query.measure is not None:
            text = self._measured(query)
        else:
            text = self._listed(query)
        return self._written(text)

    def about(self, things: str, query: Query) -> str:
        """A measure of `things`, whose conditions are in their name and left unsaid."""
        assert query.measure is not None
        if query.measure.ref is None:
            return self._written(self._pick(*_ASK_COUNT).format(things=things, rest=""))
        return self._written(self._pick(*_ASK_VALUE).format(what=f"{self._measure_words(query)} of {things}", rest=""))

    def named(self, word: str, query: Query) -> str:
        """A measure that has a name of its own: `What is the zandor by country?`. The filters are said."""
        rest = self._of_things(query) if query.filters else ""
        by = f" {self._group_words(query)}" if query.group is not None else ""
        return self._written(self._pick(*_ASK_VALUE).format(what=word, rest=rest + by))

    def _of_things(self, query: Query) -> str:
        return f" of {query.table.thing.plural}{self.filters(query)}"

    def instead(self, entry: Filter) -> str:
        """A follow-up that changes one condition."""
        condition = self.condition(entry)
        return self._pick(
            f"And with {condition}?",
            f"What about {condition}?",
            f"Now with {condition}.",
            f"Same, but with {condition}.",
        )

    def also(self, entry: Filter) -> str:
        """A follow-up that adds a condition."""
        condition = self.condition(entry)
        return self._pick(
            f"Only those with {condition}.", f"Of those, only with {condition}.", f"Just with {condition}?"
        )

    def other_measure(self, query: Query) -> str:
        """A follow-up that asks for another figure of the same rows."""
        words = "number" if query.measure is None or query.measure.ref is None else self._measure_words(query)
        return self._pick(f"And the {words}?", f"What about the {words}?", f"Now the {words}.")

    def by_group(self, query: Query) -> str:
        """A follow-up that splits the same figure up."""
        words = self._group_words(query)
        return self._pick(f"And {words}?", f"Now {words}.", f"Show that {words}.")

    def figure(self, query: Query) -> str:
        """What a measure of some rows is: `total price of orders with status open`."""
        return f"{self._whole_measure(query)}{self.filters(query)}"

    def filters(self, query: Query) -> str:
        """The conditions, to stand behind the thing they are about: ` whose price is above 5 and …`."""
        own = [entry for entry in query.filters if entry.ref.table == query.table]
        others = [entry for entry in query.filters if entry.ref.table != query.table]
        text = self._own_conditions(own) if own else ""
        for entry in others:
            of = self._pick("of a", "belonging to a", "for a", "whose")
            thing = entry.ref.table.thing.singular
            has = " has" if of == "whose" else " with"
            text += f" {of} {thing}{has} {self.condition(entry)}"
        return text

    def _own_conditions(self, own: Sequence[Filter]) -> str:
        """A value that only one column can hold may stand for itself: ` that are red`."""
        if len(own) == 1 and self._random.random() < 0.35:
            bare = self._bare(own[0])
            if bare:
                return bare
        return (
            f" {self._pick('with', 'that have', 'having', 'where there is')} {' and '.join(map(self.condition, own))}"
        )

    def _bare(self, entry: Filter) -> str:
        """A condition that does not name its column as such, or nothing: ` that are red`, ` paid in 2025`."""
        spoken = entry.ref.column.spoken
        if _tells_its_column(entry):
            value = entry.values[0]
            return self._pick(f" that are {value}", f" in {value}", f" marked {value}", f" that were {value}")
        if entry.ref.column.role == "flag":
            return self._pick(" that are ", " which are ") + (spoken if entry.values[0] == 1 else f"not {spoken}")
        done, _, ending = spoken.rpartition(" ")
        if entry.ref.column.role == "date" and ending in ("on", "at") and entry.operator not in ("null", "not null"):
            when = self.condition(entry).removeprefix(f"{spoken} ")
            return self._pick(f" {done} {when}", f" that were {done} {when}")
        return ""

    def condition(self, entry: Filter) -> str:
        spoken = entry.ref.column.spoken
        if entry.operator == "null":
            return self._pick(f"no {spoken}", f"{spoken} missing", f"an empty {spoken}")
        if entry.operator == "not null":
            return self._pick(f"a {spoken} given", f"{spoken} present", f"any {spoken}")
        value = _said(entry.values[0])
        if entry.ref.column.role == "flag":
            return f"{spoken} set" if entry.values[0] == 1 else f"{spoken} not set"
        match entry.operator:
            case "=":
                return self._pick(
                    f"{spoken} {value}", f"{spoken} equal to {value}", f"the {spoken} {value}", f"{value} as {spoken}"
                )
            case "<>":
                return self._pick(f"{spoken} other than {value}", f"{spoken} not {value}", f"any {spoken} but {value}")
            case ">":
                return self._pick(f"{spoken} above {value}", f"{spoken} over {value}", f"{spoken} greater than {value}")
            case "<":
                return self._pick(f"{spoken} below {value}", f"{spoken} under {value}", f"{spoken} less than {value}")
            case ">=":
                return self._pick(f"{spoken} of at least {value}", f"{spoken} {value} or more")
            case "<=":
                return self._pick(f"{spoken} of at most {value}", f"{spoken} {value} or less")
            case "between":
                return f"{spoken} between {value} and {_said(entry.values[1])}"
            case "in":
                return f"{spoken} {self._pick('either ', '')}{value} or {_said(entry.values[1])}"
            case "like":
                return self._pick(f"{spoken} starting with {value}", f"a {spoken} that begins with {value}")
            case "year":
                return self._pick(f"{spoken} in {value}", f"{spoken} during {value}", f"{spoken} in the year {value}")
            case "month":
                year, month = str(value).split("-")
                return f"{spoken} in {_MONTHS[int(month) - 1]} {year}"
            case "since":
                return self._pick(f"{spoken} since {value}", f"{spoken} on or after {value}")
            case "before":
                return f"{spoken} before {value}"

    def _measured(self, query: Query) -> str:
        rest, measure = self._rest(query), query.measure
        assert measure is not None
        things = query.table.thing.plural
        if measure.condition is not None:
            condition = self.condition(measure.condition)
            return self._pick(*_ASK_SHARE).format(things=things, rest=rest, condition=condition)
        if measure.ref is None:
            return self._pick(*_ASK_COUNT).format(things=things, rest=rest)
        if measure.aggregate == "count distinct":
            what = f"{self._pick('different', 'distinct')} {_plural(measure.ref.column.spoken)} of {things}"
            return self._pick("How many {what}{rest} are there?", "Count the {what}{rest}.").format(
                what=what, rest=rest
            )
        return self._pick(*_ASK_VALUE).format(what=f"{self._measure_words(query)} of {things}", rest=rest)

    def _listed(self, query: Query) -> str:
        own = [_plural(ref.column.spoken) for ref in query.shown if ref.table == query.table]
        what = f"{self._pick('different ', 'distinct ') if query.distinct else ''}{_joined(own)}"
        what += f" of {query.table.thing.plural}"
        for ref in query.shown:
            if ref.table != query.table:
                beside = self._pick("and", "together with", "with")
                what += f" {beside} the {ref.column.spoken} of their {ref.table.thing.singular}"
        text = self._pick(*_ASK_LIST).format(what=what, rest=self._rest(query))
        if query.order is None:
            return text
        way = self._pick("descending", "from the highest down") if query.descending else self._pick("ascending", "")
        sorted_by = self._pick("sorted by", "ordered by", "in order of")
        return f"{text[:-1]}, {sorted_by} {query.order.column.spoken} {way}".strip()

    def _rest(self, query: Query) -> str:
        """What narrows the rows down."""
        rest = self.filters(query)
        if query.above_average is not None:
            spoken = query.above_average.column.spoken
            rest += self._pick(f" whose {spoken} is above average", f" with a {spoken} higher than the average")
        if query.without is not None:
            child = query.without.child
            rest += self._pick(f" that no row of {child} refers to", f" without any {child}", f" that have no {child}")
        return rest

    def _grouped(self, query: Query) -> str:
        by = self._group_words(query)
        text = self._pick(
            "{what}{rest} {by}",
            "Show the {what}{rest} {by}.",
            "What is the {what}{rest} {by}?",
            "List the {what}{rest} {by}.",
        )
        rest = self.filters(query)
        if query.having is not None:
            least = query.having
            by += self._pick(f", only with at least {least}", f", where there are {least} or more")
        return text.format(what=self._whole_measure(query), rest=rest, by=by)

    def _top(self, query: Query) -> str:
        count = "" if query.top == 1 else f"{query.top} "
        rest = self.filters(query)
        if query.group is not None:
            extreme = self._pick("highest", "largest") if query.descending else self._pick("lowest", "smallest")
            group = query.group.column.spoken if query.top == 1 else _plural(query.group.column.spoken)
            about = self._of_group(query)
            if query.measure is not None and query.measure.ref is None and self._random.random() < 0.5:
                most = "most" if query.descending else "fewest"
                return f"Which {count}{group}{about} {_has(query.top)} the {most} {query.table.thing.plural}{rest}?"
            return f"Which {count}{group}{about} {_has(query.top)} the {extreme} {self._whole_measure(query)}{rest}?"
        assert query.order is not None
        spoken, shown = query.order.column.spoken, query.shown[0].column.spoken
        things = query.table.thing.singular if query.top == 1 else query.table.thing.plural
        extreme = _extreme(query.order, query.descending)
        named = shown if query.top == 1 else _plural(shown)
        return self._pick(
            f"What {_is(query.top)} the {named} of the {count}{things} with the {extreme} {spoken}{rest}?",
            f"Show the {named} of the {count}{things} with the {extreme} {spoken}{rest}.",
            f"Which {count}{things}{rest} {_has(query.top)} the {extreme} {spoken}? Give the {named}.",
        )

    def _whole_measure(self, query: Query) -> str:
        things = query.table.thing.plural
        if query.measure is not None and query.measure.condition is not None:
            return f"share of {things} with {self.condition(query.measure.condition)}"
        if query.measure is None or query.measure.ref is None:
            return f"number of {things}"
        return f"{self._measure_words(query)} of {things}"

    def _measure_words(self, query: Query) -> str:
        assert query.measure is not None
        words = self._aggregate_words(query.measure)
        if query.second is not None:
            words += f" and {self._aggregate_words(query.second)}"
        return f"{words} {_measured_column(query.measure)}"

    def _aggregate_words(self, measure: Measure) -> str:
        return self._pick(*_AGGREGATES[measure.aggregate])

    def _group_words(self, query: Query) -> str:
        assert query.group is not None
        return f"{self._pick('by', 'per', 'for each', 'grouped by')} {query.group.column.spoken}{self._of_group(query)}"

    def _of_group(self, query: Query) -> str:
        assert query.group is not None
        other = query.group.table != query.table
        return f" of the {query.group.table.thing.singular}" if other else ""

    def _written(self, text: str) -> str:
        """With a capital and a full stop, or as people in a hurry write."""
        if self._random.random() < 0.12:
            return (text[0].lower() + text[1:]).rstrip(".?")
        return text[0].upper() + text[1:]

    def _pick(self, *choices: str) -> str:
        return self._random.choice(choices)


def _tells_its_column(entry: Filter) -> bool:
    column = entry.ref.column
    if column.role != "category" or entry.operator != "=":
        return False
    others = [other for other in entry.ref.table.columns if other != column]
    return all(entry.values[0] not in other.values for other in others)


def _measured_column(measure: Measure) -> str:
    assert measure.ref is not None
    return measure.ref.column.spoken


def _said(value: Value) -> str:
    return str(value)


def _plural(spoken: str) -> str:
    if spoken.endswith("y") and spoken[-2:-1] not in tuple("aeiou"):
        return spoken[:-1] + "ies"
    return (
        spoken
        if spoken.endswith("s") and not spoken.endswith("us")
        else f"{spoken}{'es' if spoken.endswith('us') else 's'}"
    )


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _extreme(order: Ref, descending: bool) -> str:
    if order.column.role == "date":
        return "latest" if descending else "earliest"
    return "highest" if descending else "lowest"


def _is(count: int | None) -> str:
    return "is" if count == 1 else "are"


def _has(count: int | None) -> str:
    return "has" if count == 1 else "have"
