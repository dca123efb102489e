"""The grammar of one SELECT over the tables of a prompt, for constrained decoding: a name cannot be misspelt.

`sql.lark` holds the statement's shape; this module adds the names, each spelt as its schema spells it. Wherever a name
is free, a model that is cut off from a wrong copy ends it there. So what a query names itself has a shape:
- a table's alias is `T1` to `t9`, a letter that begins a word of the table's name with up to two more letters of it and
  digits (`oi`, `c12`), or the name itself with `alias` and digits (`CITYalias0`). In one SELECT, either all tables have
  one or none has, and `alias.column` is of a table that may be called so;
- any word may stand behind `AS`, and then without a qualifier in GROUP BY, HAVING and ORDER BY of that SELECT;
- where FROM begins with a sub-query, words that begin like no known name may stand for columns, and behind FROM any;
- in a statement that begins with `WITH`, names are free.

`table.column` is always a pair that exists. A SELECT of one table without an alias names its columns only. In a join
without aliases each table comes once, and ON and all that follows FROM name columns of the tables joined by then; the
list before it may name a table that is then not joined. The syntax is llguidance's Lark
(github.com/guidance-ai/llguidance, docs/syntax.md and docs/parametric.md).
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
    "double_precision",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
}
"""Terminals that are one word of a list, in both dialects."""

_MORE_WORDS: dict[str, dict[str, str]] = {
    "sqlite": {
        "AGGREGATE": "total",
        "FUNCTION": "instr printf format hex typeof ifnull iif strftime time datetime julianday unixepoch "
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
"""Tables up to which one SELECT is held to its own: as many as a parameter has room for."""

_FIELDS = {"JOINED": range(56, 59), "NESTING": range(59, 61), "DEPTH": range(61, 64)}
"""Numbers in a rule's parameter: joins before it, SELECTs and brackets around it."""

_FLAGS = ("WITH", "NAMED", "NAMES", "READ", "GIVEN", "LOOSE", "ROWS", "NEVER")
"""Bits of a rule's parameter, behind those of the tables.

WITH: the statement begins so; NAMED: an AS stood in the list; NAMES: what it named may stand here; READ: FROM is past;
GIVEN: and held a sub-query; LOOSE: the SELECT around is not that far; ROWS: no aggregate here; NEVER: is not set.
"""

_OF_TABLES = ("OWN_PLAIN", "OUTER_PLAIN", "OWN_ALIASED", "OUTER_ALIASED")
"""For each table a bit: this SELECT has read it, or one around it has; by the table's name or with an alias."""

_GLUED = ("from", "having", "inner", "join", "limit", "select", "union", "where")
"""Keywords that a new name may not begin with: the space behind them would be missing."""

_MOST_JOINS = 7

_EDGES, _STYLES = "10", ("plain", "aliased")
_FAMILIES, _READ_FAMILIES = "sadwnf", "fdw"
_UNQUOTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_META = re.compile(r"[\\.+*?()|\[\]{}^$/&~#-]")
_INITIALS = re.compile(r"(?:\A|_|(?<=[a-z])(?=[A-Z]))([A-Za-z])")


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
    # Of more tables than a parameter has room for, all pass for one.
    ones = [tables] if len(tables) > _MOST_TOLD_APART else [(table,) for table in tables]
    own = [line for number, one in enumerate(ones) for line in _names_of(one, str(number))]
    rules = _rules(dialect, len(ones), len(tables) == len(ones))
    return "\n".join(["%llguidance {}", *rules, *_words(dialect), *_punctuation(), *own, *_names(tables)])


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────


@lru_cache
def _rules(dialect: str | None, tables: int, told_apart: bool) -> tuple[str, ...]:
    """The template's rules, each once for each value of its marks."""
    template = Path(__file__).with_name("sql.lark").read_text(encoding="utf-8")
    lines = [line for line in template.splitlines() if line and not line.startswith("//")]
    for other in DIALECTS:
        mark = f"-- {other}"
        kept = dialect in (other, None)
        lines = [line.removeprefix(mark) for line in lines if kept or not line.startswith(mark)]
    rules = re.split(r"\n(?! )", "\n".join(lines))
    rules = [styled for rule in rules for styled in _styled(rule)]
    numbers = [str(number) for number in range(tables)]
    families = [*(f"t{number}" for number in numbers), *_FAMILIES]
    for mark, values in (("&", _READ_FAMILIES), ("^", families), ("@", _EDGES)):
        rules = [marked for rule in rules for marked in _marked(rule, mark, values)]
    bits = _bits(told_apart, tables)
    rules = [_with_bits(_for_each_table(rule, numbers), bits) for rule in rules]
    return tuple(_kept(rule, bits["NEVER"]) for rule in rules)


def _kept(rule: str, never: int) -> str:
    """llguidance 1.7.6 stumbles over a changed parameter in a recursive rule of one alternative. So there are two."""
    changes = re.search(r"::(?!_)", rule) and "\n    | " not in rule and "::_: " in rule
    return f"{rule}\n    | NUMBER0 %if bit_set({never})" if changes else rule


def _marked(text: str, mark: str, values: Iterable[str]) -> list[str]:
    return [text.replace(mark, value) for value in values] if mark in text else [text]


def _styled(rule: str) -> list[str]:
    if "$" not in rule:
        return [rule]
    return [rule.replace("$$", style.upper()).replace("$", style) for style in _STYLES]


def _for_each_table(rule: str, numbers: Sequence[str]) -> str:
    head, _, body = rule.partition(": ")
    if "!" in head:
        return "\n".join(_marked(rule, "!", numbers))
    alternatives = body.split("\n    | ")
    return f"{head}: " + "\n    | ".join(each for one in alternatives for each in _marked(one, "!", numbers))


def _bits(told_apart: bool, tables: int) -> dict[str, int]:
    """Where each bit of a parameter stands.

    TAKEN: the table must not be joined again. With an alias it may, and so it may where all tables pass for one.
    """
    names = [f"{kind}{number}" for kind in _OF_TABLES for number in range(_MOST_TOLD_APART)]
    bits = {name: place for place, name in enumerate([*names, *_FLAGS])}
    for number in range(_MOST_TOLD_APART):
        bits[f"TAKEN_PLAIN{number}"] = bits[f"OWN_PLAIN{number}" if told_apart else "NEVER"]
        bits[f"TAKEN_ALIASED{number}"] = bits["NEVER"]
    return bits | {
        "JOINS_PLAIN": min(_MOST_JOINS, tables - 1) if told_apart else _MOST_JOINS,
        "JOINS_ALIASED": _MOST_JOINS,
    }


def _with_bits(rule: str, bits: dict[str, int]) -> str:
    """Bits and numbers of a parameter as llguidance writes them."""
    kept = [name for name in bits if name.startswith("OUTER")] + ["WITH", "LOOSE", "NESTING"]

    def mask(names: str) -> int:
        listed = kept if names == "KEPT" else names.split()
        places = [place for name in listed for place in _FIELDS.get(name, [bits[name]] if name in bits else [])]
        return sum(1 << place for place in places)

    def written(found: re.Match[str]) -> str:
        kind, names = found.groups()
        match kind:
            case "#":
                return str(bits[names])
            case ":":
                return f"[{_FIELDS[names].start}:{_FIELDS[names].stop}]"
            case "~":
                return hex(~mask(names) & (1 << 64) - 1)
            case _:
                return hex(mask(names))

    return re.sub(r"\[([#:~]?)([A-Z_0-9 ]*[A-Z][A-Z_0-9 ]*)\]", written, rule)


# ── terminals ────────────────────────────────────────────────────────────────────────────────────────────────────


@lru_cache
def _words(dialect: str | None) -> tuple[str, ...]:
    words = {keyword.upper(): keyword for keyword in _KEYWORDS} | _WORDS
    for name, more in _MORE_WORDS.items():
        if dialect in (name, None):
            words |= {terminal: f"{words[terminal]} {added}" for terminal, added in more.items()}
    return tuple(line for name, listed in words.items() for line in _spaced(name, f"/{_word(listed)}/"))


def _word(listed: str) -> str:
    """A pattern for any of these words, wholly in small letters or wholly in capitals."""
    small = "|".join(listed.split()).replace("double_precision", "double precision")
    return f"{small}|{small.upper()}"


def _punctuation() -> list[str]:
    patterns = {
        "LPAREN": r"\(", "RPAREN": r"\)", "COMMA": ",", "STAR": r"\*", "SEMICOLON": ";", "MINUS": "-",
        "COMPARISON": "=|<>|!=|<=|>=|<|>", "ARITHMETIC": r"\+|-|\*|\/|%|\|\|", "TYPECAST": "::",
        "STRING": r"'([^'\x00-\x1f]|'')*'", "QUOTED": r'"[^"\x00-\x1f]+"',
    }  # fmt: skip
    return [
        r"DOT: /\./",
        *(f"{name}: /[ ]?({pattern})/" for name, pattern in patterns.items()),
        *_spaced("NUMBER", r"/[0-9]{1,18}(\.[0-9]{1,18})?/"),
        *_spaced("INTEGER", "/[0-9]{1,18}/"),
    ]


def _names(tables: _Tables) -> list[str]:
    """The terminals of all tables, and of names that the query gives."""
    columns = sorted({column for *_, listed in tables for column in listed})
    bare = [name for name in [*(table for _, table, _ in tables), *columns] if _UNQUOTED.match(name)]
    beginnings = "|".join(sorted({*_GLUED, *(name[:_LIKENESS].lower() for name in bare)}))
    reserved = f"~/(?i-u:{'|'.join(sorted(_RESERVED))})/"
    name = f"/[A-Za-z_][A-Za-z0-9_]{{0,39}}/ & {reserved}"
    new_name = f"/[A-Za-z_][A-Za-z0-9_]{{0,23}}/ & {reserved} & ~/(?i-u:{beginnings}).*/"
    return [
        *_spaced("COLUMN", f"/{_named(columns)}/"),
        *_spaced("TABLE", f"/{'|'.join(_table(database, table) for database, table, _ in tables)}/"),
        *_spaced("NAME", name),
        *_spaced("NEW_NAME", new_name),
        *_spaced("SHORT", f"/[a-z]{{1,3}}[0-9]{{0,2}}/ & ~/({'|'.join(sorted(_RESERVED))})[0-9]*/"),
        *_spaced("ALIAS", f"/[A-Za-z]{{1,3}}[0-9]{{0,2}}/ & {reserved} | {new_name}"),
    ]


def _names_of(tables: _Tables, number: str) -> list[str]:
    """One table, or several that pass for one: as FROM reads it, and its columns, by its name or by an alias."""
    lines = []
    for style in _STYLES:
        name, column = f"NAME_{style.upper()}_{number}_", f"COLUMN_{style.upper()}_{number}_"
        names = [f"/{_table(*table[:2])}/" if style == "plain" else _alias(table[1]) for table in tables]
        pairs = [f"(({called}) /\\./)? /{_named(table[2])}/" for called, table in zip(names, tables, strict=True)]
        lines += [f"{name}: {' | '.join(names)}", *_spaced(name, name)]
        lines += _spaced(f"ALL_OF_{style.upper()}_{number}_", f"({name}) /\\.\\*/")
        lines += [f"{column}: {' | '.join(pairs)}", *_spaced(column, column)]
    for edge in _EDGES:
        lines.append(f"table_plain_{number}_{edge}: NAME_PLAIN_{number}_{edge}")
        lines.append(f"table_aliased_{number}_{edge}: NAME_PLAIN_{number}_{edge} AS1? NAME_ALIASED_{number}_1")
    return lines


def _alias(table: str) -> str:
    """What one table may be called."""
    letters = "".join(sorted(set(re.findall("[a-z]", table.lower()))))
    initials = "".join(sorted(set("".join(_INITIALS.findall(table)).lower())))
    aliases = ["[Tt][1-9]"]
    if initials:
        aliases.append(f"[{initials}][{letters}]{{0,2}}[0-9]{{0,2}}")
    if _UNQUOTED.match(table):
        aliases.append(f"{table}alias[0-9]{{1,2}}")
    return f"/{'|'.join(aliases)}/ & ~/({'|'.join(sorted(_RESERVED))})[0-9]*/"


def _spaced(name: str, pattern: str) -> list[str]:
    """The terminal as it stands behind a word, and as it stands elsewhere."""
    return [f"{name}1: / / ({pattern})", f"{name}0: /[ ]?/ ({pattern})"]


def _table(database: str, table: str) -> str:
    return f"(({_named([database])})\\.)?({_named([table])})" if database else _named([table])


def _named(names: Sequence[str]) -> str:
    """A pattern for identifiers as their schemas spell them: bare, where SQL allows that, or in quotes."""
    bare = [name for name in names if _UNQUOTED.match(name) and name.lower() not in _RESERVED - _COLUMN_NAMES]
    quoted = [_META.sub(r"\\\g<0>", '"' + name.replace('"', '""') + '"') for name in names]
    return "|".join([*bare, *quoted])
