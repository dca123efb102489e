"""A query in words: the same meaning said in many ways, as different people say it.

The words name tables and columns as people speak of them, so a reader has to find out from the schema how they are
spelled there.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from backend.mini.query import Filter, Query, Ref, Value

_MONTHS = ("January February March April May June July August September October November December").split()
_AGGREGATES = {
    "sum": ("total", "sum of the", "overall", "combined"),
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
)
_ASK_VALUE = (
    "What is the {what}{rest}?",
    "Show the {what}{rest}.",
    "Give me the {what}{rest}.",
    "Tell me the {what}{rest}.",
    "I need the {what}{rest}.",
    "Find the {what}{rest}.",
)
_ASK_LIST = (
    "List the {what}{rest}.",
    "Show the {what}{rest}.",
    "What are the {what}{rest}?",
    "Which {what}{rest}?",
    "Give me the {what}{rest}.",
    "Return the {what}{rest}.",
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
        return self._capital(text)

    def about(self, things: str, query: Query) -> str:
        """A measure of `things`, whose conditions are in their name and left unsaid."""
        assert query.measure is not None
        if query.measure.ref is None:
            return self._capital(self._pick(*_ASK_COUNT).format(things=things, rest=""))
        return self._capital(self._pick(*_ASK_VALUE).format(what=f"{self._measure_words(query)} of {things}", rest=""))

    def instead(self, entry: Filter) -> str:
        """A follow-up that changes one condition."""
        condition = self.condition(entry)
        return self._pick(
            f"And with {condition}?",
            f"What about {condition}?",
            f"Now with {condition}.",
            f"Same, but with {condition}.",
        )

    def filters(self, query: Query) -> str:
        """The conditions, to stand behind the thing they are about: ` whose price is above 5 and …`."""
        own = [entry for entry in query.filters if entry.ref.table == query.table]
        others = [entry for entry in query.filters if entry.ref.table != query.table]
        said = [self.condition(entry) for entry in own]
        text = f" {self._pick('with', 'that have', 'having')} {' and '.join(said)}" if said else ""
        for entry in others:
            of = self._pick("of a", "belonging to a", "for a")
            text += f" {of} {entry.ref.table.thing.singular} with {self.condition(entry)}"
        return text

    def condition(self, entry: Filter) -> str:
        spoken, value = entry.ref.column.spoken, _said(entry.values[0])
        if entry.ref.column.role == "flag":
            return f"{spoken} set" if entry.values[0] == 1 else f"{spoken} not set"
        match entry.operator:
            case "=":
                return self._pick(f"{spoken} {value}", f"{spoken} equal to {value}", f"the {spoken} {value}")
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
        rest, measure = self.filters(query), query.measure
        assert measure is not None
        if measure.ref is None:
            return self._pick(*_ASK_COUNT).format(things=query.table.thing.plural, rest=rest)
        if measure.aggregate == "count distinct":
            what = f"different {_plural(measure.ref.column.spoken)} of {query.table.thing.plural}"
            return self._pick("How many {what}{rest} are there?", "Count the {what}{rest}.").format(
                what=what, rest=rest
            )
        return self._pick(*_ASK_VALUE).format(
            what=f"{self._measure_words(query)} of {query.table.thing.plural}", rest=rest
        )

    def _listed(self, query: Query) -> str:
        shown = _joined([_plural(ref.column.spoken) for ref in query.shown])
        what = f"{'different ' if query.distinct else ''}{shown} of {query.table.thing.plural}"
        rest = self.filters(query)
        if query.above_average is not None:
            spoken = query.above_average.column.spoken
            rest += self._pick(f" whose {spoken} is above average", f" with a {spoken} higher than the average")
        if query.without is not None:
            child = query.without.child
            rest += self._pick(f" that no row of {child} refers to", f" without any {child}")
        return self._pick(*_ASK_LIST).format(what=what, rest=rest)

    def _grouped(self, query: Query) -> str:
        by = self._group_words(query)
        text = self._pick("{what}{rest} {by}", "Show the {what}{rest} {by}.", "What is the {what}{rest} {by}?")
        rest = self.filters(query)
        if query.having is not None:
            by += self._pick(f", only with at least {query.having}", f", where there are {query.having} or more")
        return text.format(what=self._whole_measure(query), rest=rest, by=by)

    def _top(self, query: Query) -> str:
        count = "" if query.top == 1 else f"{query.top} "
        if query.group is not None:
            extreme = self._pick("highest", "largest") if query.descending else self._pick("lowest", "smallest")
            group = query.group.column.spoken if query.top == 1 else _plural(query.group.column.spoken)
            about = self._of_group(query)
            return f"Which {count}{group}{about} {_has(query.top)} the {extreme} {self._whole_measure(query)}?"
        assert query.order is not None
        spoken, shown = query.order.column.spoken, query.shown[0].column.spoken
        things = query.table.thing.singular if query.top == 1 else query.table.thing.plural
        extreme = _extreme(query.order, query.descending)
        named = shown if query.top == 1 else _plural(shown)
        return self._pick(
            f"What {_is(query.top)} the {named} of the {count}{things} with the {extreme} {spoken}?",
            f"Show the {named} of the {count}{things} with the {extreme} {spoken}.",
        )

    def _whole_measure(self, query: Query) -> str:
        things = query.table.thing.plural
        if query.measure is None or query.measure.ref is None:
            return f"number of {things}"
        return f"{self._measure_words(query)} of {things}"

    def _measure_words(self, query: Query) -> str:
        assert query.measure is not None
        assert query.measure.ref is not None
        return f"{self._pick(*_AGGREGATES[query.measure.aggregate])} {query.measure.ref.column.spoken}"

    def _group_words(self, query: Query) -> str:
        assert query.group is not None
        return f"{self._pick('by', 'per', 'for each', 'grouped by')} {query.group.column.spoken}{self._of_group(query)}"

    def _of_group(self, query: Query) -> str:
        assert query.group is not None
        other = query.group.table != query.table
        return f" of the {query.group.table.thing.singular}" if other else ""

    def _capital(self, text: str) -> str:
        return text[0].upper() + text[1:]

    def _pick(self, *choices: str) -> str:
        return self._random.choice(choices)


def _said(value: Value) -> str:
    return str(value)


def _plural(spoken: str) -> str:
    if spoken.endswith("y") and spoken[-2] not in "aeiou":
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
