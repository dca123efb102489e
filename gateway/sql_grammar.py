"""The grammar of one SELECT over the tables of a prompt, for constrained decoding: a name cannot be misspelt.

`sql.lark` holds the statement's shape; this module adds the names. Only those of the schemas are allowed, but where a
query gives names of its own:
- an alias of a table is up to three letters with digits (`T1`, `oi`), a table's name with a number behind it
  (`orders2`, `CITYalias0`), or a word that begins like no known name. If it could be any word, a wrong copy of a name
  could always be ended as an alias;
- any word may stand behind `AS`, for a column in `GROUP BY`, `HAVING` and `ORDER BY` of a SELECT that has such an `AS`,
  and everywhere in a statement that begins with `WITH`;
- where FROM holds a sub-query, words that begin like no known name may stand for columns, and behind FROM any word.

`table.column` is always a pair that exists, and a SELECT of one table names columns of that table. In a join, a column
may be one of a table that is not joined: sets of tables are too many for a context-free grammar to carry from FROM back
to SELECT. The syntax is llguidance's Lark (github.com/guidance-ai/llguidance, docs/syntax.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from kb.items import Item, Schema

DIALECTS = ("sqlite", "postgres")
"""As sqlglot names them. Without one, the grammar takes what either takes; of another, what both take."""

_Tables = tuple[tuple[str, str, tuple[str, ...]], ...]
"""Database, table and its columns, sorted."""

_KEYWORDS = """all and any as asc between by case cast cross current desc distinct else end escape except exists extract
false filter first following for from full glob group having ilike in inner intersect interval is join last left like
limit natural not null nulls offset on or order outer over partition position preceding recursive right row rows select
substring then true unbounded union using when where with within""".split()

_WORDS = {
    "AGGREGATE": "count sum avg min max",
    "COUNT": "count",
    "LISTING": "group_concat string_agg array_agg",
    "QUANTILE": "percentile_cont percentile_disc",
    "FUNCTION": "abs round ceil ceiling floor sqrt power exp ln log mod sign trunc length upper lower trim ltrim rtrim "
    "substr substring replace coalesce nullif date concat concat_ws",
    "MOMENT": "random",
    "RANKING": "row_number rank dense_rank percent_rank cume_dist",
    "NEIGHBOUR": "lag lead first_value last_value nth_value ntile",
    "CONSTANT": "null true false current_date current_time current_timestamp",
    "PART": "year quarter month week day hour minute second dow doy isodow epoch decade century",
    "TYPE": "integer int bigint smallint real float numeric decimal text varchar char date time timestamp boolean "
    "double[[:space:]]precision",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
}
"""Terminals that are one word of a list, in both dialects."""

_MORE_WORDS: dict[str, dict[str, str]] = {
    "sqlite": {
        "AGGREGATE": "total",
        "FUNCTION": "max min instr printf format hex typeof ifnull iif strftime time datetime julianday unixepoch "
        "json_extract json_array_length",
        "TYPE": "double",
    },
    "postgres": {
        "AGGREGATE": "stddev stddev_pop stddev_samp variance var_pop var_samp bool_and bool_or",
        "FUNCTION": "char_length initcap left right strpos split_part lpad rpad reverse format greatest least "
        "date_trunc date_part to_char to_date to_timestamp to_number make_date age regexp_replace array_length",
        "MOMENT": "now",
        "TYPE": "timestamptz interval float8 int8 int4",
    },
}

_RESERVED = frozenset(
    """add all alter and any as asc between by case check collate commit constraint create cross current_date
    current_time current_timestamp default deferrable delete desc distinct drop else end escape except exists
    false fetch filter for foreign from full glob group having ilike in index inner insert intersect into is
    isnull join left like limit natural not notnull null nulls offset on or order outer over primary references
    returning right rows select set table then to transaction true union unique update using values when where
    window with within""".split()
)
"""Words that SQLite or PostgreSQL takes for no name, and those that may follow an alias."""

_COLUMN_NAMES = frozenset(
    """any asc by cross desc end false fetch filter for full glob ilike inner left like natural nulls offset outer over
    right rows true window with within""".split()
)
"""Of the reserved words, those that SQLite takes for a column."""

_LIKENESS = 3
"""Characters that a new name may not have in common with the beginning of a known one."""

_MOST_TOLD_APART = 12
"""Tables up to which a SELECT of one table is held to that table's columns."""

_EDGES, _FAMILIES = "10", "sdlwn"
_SPACE = r"[ \t\r\n]"
_UNQUOTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_META = re.compile(r"[\\.+*?()|\[\]{}^$/&~#-]")


def grammar_of(items: Iterable[Item], dialect: str | None = None) -> str | None:
    """The grammar for what a prompt placed; `None` where no schema is among it, and so no names to hold to.

    `dialect` is one of `DIALECTS`.
    """
    return sql_grammar((item.body for item in items if isinstance(item.body, Schema)), dialect)


def sql_grammar(schemas: Iterable[Schema], dialect: str | None = None) -> str | None:
    """The grammar over these tables; `None` for none. The same set of names gives the same text, in any order."""
    known: dict[tuple[str, str], set[str]] = {}
    for schema in schemas:
        known.setdefault((schema.database, schema.table), set()).update(column.name for column in schema.columns)
    tables = tuple((*name, tuple(sorted(columns))) for name, columns in sorted(known.items()) if columns)
    return _grammar(tables, dialect) if tables else None


@lru_cache(maxsize=256)
def _grammar(tables: _Tables, dialect: str | None) -> str:
    # Past some size the grammar costs more than it gives, and all tables pass for one.
    ones = [tables] if len(tables) > _MOST_TOLD_APART else [(table,) for table in tables]
    own = [line for number, one in enumerate(ones) for line in _names_of(one, f"_T{number}_")]
    rules = _rules(dialect, len(ones))
    return "\n".join(["%llguidance {}", *rules, *_words(dialect), *_punctuation(), *_names(tables), *own])


@lru_cache
def _rules(dialect: str | None, tables: int) -> tuple[str, ...]:
    """The template's rules, each once for each value of its marks."""
    template = Path(__file__).with_name("sql.lark").read_text(encoding="utf-8")
    lines = [line for line in template.splitlines() if line and not line.startswith("//")]
    for other in DIALECTS:
        mark = f"-- {other}"
        kept = dialect in (other, None)
        lines = [line.removeprefix(mark) for line in lines if kept or not line.startswith(mark)]
    numbers = [str(number) for number in range(tables)]
    text = re.sub(r"EACH\((.*?)\)", lambda each: " | ".join(_marked(each[1], "!", numbers)), "\n".join(lines))
    rules = re.split(r"\n(?! )", text)
    for mark, values in (("!", numbers), ("$", [*_FAMILIES, *(f"t{number}" for number in numbers)]), ("@", _EDGES)):
        rules = [marked for rule in rules for marked in _marked(rule, mark, values)]
    return tuple(rules)


def _marked(rule: str, mark: str, values: Iterable[str]) -> list[str]:
    return [rule.replace(mark, value) for value in values] if mark in rule else [rule]


@lru_cache
def _words(dialect: str | None) -> tuple[str, ...]:
    words = {keyword.upper(): keyword for keyword in _KEYWORDS} | _WORDS
    for name, more in _MORE_WORDS.items():
        if dialect in (name, None):
            words |= {terminal: f"{words[terminal]} {added}" for terminal, added in more.items()}
    return tuple(line for name, listed in words.items() for line in _spaced(name, f"/{_any_case(listed.split())}/"))


def _punctuation() -> list[str]:
    patterns = {
        "LPAREN": r"\(", "RPAREN": r"\)", "COMMA": ",", "STAR": r"\*", "SEMICOLON": ";", "MINUS": "-",
        "COMPARISON": "=|<>|!=|<=|>=|<|>", "ARITHMETIC": r"\+|-|\*|\/|%|\|\|", "TYPECAST": "::",
        "STRING": r"'([^'\x00-\x1f]|'')*'", "QUOTED": r'"[^"\x00-\x1f]+"',
    }  # fmt: skip
    return [
        r"DOT: /\./",  # directly behind an alias: a space would let a begun name stand there
        *(f"{name}: /{_SPACE}{{0,24}}({pattern})/" for name, pattern in patterns.items()),
        *_spaced("NUMBER", r"/[0-9]{1,18}(\.[0-9]{1,18})?/"),
        *_spaced("INTEGER", "/[0-9]{1,18}/"),
    ]


def _names(tables: _Tables) -> list[str]:
    columns = sorted({column for *_, listed in tables for column in listed})
    bare_tables = [table for _, table, _ in tables if _UNQUOTED.match(table)]
    bare = [*bare_tables, *(column for column in columns if _UNQUOTED.match(column))]
    beginnings = sorted({name[:_LIKENESS].lower() for name in bare})
    name = f"/[A-Za-z_][A-Za-z0-9_]{{0,62}}/ & ~/{_any_case(sorted(_RESERVED))}/"
    new_name = f"{name} & ~/{_any_case(beginnings)}.*/" if bare else name
    aliases = [f"{name} & /[A-Za-z]{{1,3}}[0-9]{{0,3}}/", new_name]
    if bare_tables:
        aliases[0] += f" & ~/{_any_case(bare_tables)}/"
        aliases.append(f"/{_any_case(bare_tables)}_?(alias)?_?[0-9]{{1,3}}/")
    return [
        *_names_of(tables, ""),
        *_spaced("NAME", name),
        *_spaced("NEW_NAME", new_name),
        *_spaced("ALIAS", " | ".join(aliases)),
    ]


def _names_of(tables: _Tables, mark: str) -> list[str]:
    """The terminals of tables, columns and pairs of both."""
    columns = sorted({column for *_, listed in tables for column in listed})
    return [
        *_spaced(f"TABLE{mark}", f"/{'|'.join(_table(database, table) for database, table, _ in tables)}/"),
        *_spaced(f"COLUMN{mark}", f"/{_named(columns)}/"),
        *_spaced(f"TABLE_COLUMN{mark}", f"/{'|'.join(_pair(*table) for table in tables)}/"),
    ]


def _pair(database: str, table: str, columns: Sequence[str]) -> str:
    return f"({_table(database, table)})\\.{_SPACE}{{0,24}}({_named(columns)})"


def _spaced(name: str, pattern: str) -> list[str]:
    """The terminal as it stands behind a word, and as it stands elsewhere."""
    return [f"{name}1: /{_SPACE}{{1,24}}/ ({pattern})", f"{name}0: /{_SPACE}{{0,24}}/ ({pattern})"]


def _table(database: str, table: str) -> str:
    return f"(({_named([database])})\\.)?({_named([table])})" if database else _named([table])


def _named(names: Sequence[str]) -> str:
    """A pattern for identifiers: in any case without quotes, where SQL allows that, and as they are in quotes."""
    bare = [name for name in names if _UNQUOTED.match(name) and name.lower() not in _RESERVED - _COLUMN_NAMES]
    quoted = [_META.sub(r"\\\g<0>", '"' + name.replace('"', '""') + '"') for name in names]
    return "|".join([*([_any_case(bare)] if bare else []), *quoted])


def _any_case(words: Sequence[str]) -> str:
    return f"(?i-u:{'|'.join(words)})"
