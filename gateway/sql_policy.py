"""Which statements may reach a datasource: exactly one that only reads, calling no function that does more.

The first of the fences (see `datasource.py`), and the one that can say in words what is wrong. It judges the tree
that sqlglot parses; a statement that sqlglot reads otherwise than the database does still meets the others.
The PostgreSQL deny list was drawn up from pg_proc: every volatile function, every one that runs SQL given as text,
and the pg_ family but for what is listed as harmless.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError

from gateway.errors import StatementRefused
from gateway.sql_names import resolve_names
from gateway.sqlite_reader import is_denied_function as is_denied_in_sqlite
from kb.sql_failures import SQL_FAILURES

MAX_CHARACTERS = 100_000
MAX_TOKENS = 20_000
_SEND_ONE = "send one SELECT (WITH … SELECT and VALUES are fine too)"

_FIRST_TOKENS = frozenset({TokenType.SELECT, TokenType.WITH, TokenType.VALUES, TokenType.L_PAREN, TokenType.TABLE})
_READS = (exp.Select, exp.SetOperation, exp.Values, exp.Subquery)
_WRITES = (
    exp.DML, exp.DDL, exp.Command, exp.Copy, exp.Pragma, exp.Attach, exp.Detach, exp.Set, exp.Transaction,
    exp.Commit, exp.Rollback, exp.Drop, exp.Alter, exp.TruncateTable, exp.Analyze, exp.Describe, exp.Kill, exp.Use,
    exp.Merge, exp.Grant, exp.Comment, exp.LoadData,
)  # fmt: skip
_STATEMENT_WORDS = frozenset(
    """ABORT ALTER ANALYZE ATTACH BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE
    DELETE DETACH DISCARD DO DROP END EXECUTE EXPLAIN FETCH GRANT IMPORT INSERT LISTEN LOAD LOCK MERGE MOVE NOTIFY
    PRAGMA PREPARE REASSIGN REFRESH REINDEX RELEASE REPLACE RESET REVOKE ROLLBACK SAVEPOINT SECURITY SET SHOW START
    TRUNCATE UNLISTEN UPDATE VACUUM""".split()
)

_POSTGRES_HARMLESS = frozenset(
    {
        "pg_typeof", "pg_size_pretty", "pg_size_bytes", "pg_column_size", "pg_collation_for", "pg_client_encoding",
        "pg_timezone_names", "pg_timezone_abbrevs",
    }
)  # fmt: skip
_POSTGRES_DENIED = re.compile(
    r"pg_.*|lo_.*|loread|lowrite|dblink.*|.*_to_xml|.*_to_xmlschema|.*_to_xml_and_xmlschema|xpath_table|crosstab.*"
    r"|connectby|set_config|current_setting|setval|nextval|currval|currtid2?|lastval|setseed|txid_.*"
    r"|ts_stat|ts_rewrite|current_query|inet_(client|server)_.*|binary_upgrade_.*|brin_.*|gin_.*|postgres_fdw_.*"
    r"|http|http_.*|aws_.*|plpython.*|plperl.*|pltcl.*|unique_key_recheck|ri_fkey_.*|.*_recv|.*_send"
)  # fmt: skip
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


@dataclass(frozen=True)
class CheckedStatement:
    """One statement that may be run.

    `sql` is as it was sent, less the semicolon at its end. `tables` are the database's tables it reads, `columns`
    the "table.column" it names, both sorted; a column whose table cannot be told (without schemas, in a join) and
    what `*` stands for are left out. `tree` is sqlglot's; do not change it.
    """

    sql: str
    dialect: str
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    tree: exp.Expr = field(repr=False, compare=False)


def check_statement(
    sql: str,
    *,
    dialect: str,
    datasource: str,
    schemas: Mapping[str, Collection[str]] | None = None,
) -> CheckedStatement:
    """Raises StatementRefused, which names what is wrong, where, and what to send instead.

    `schemas` gives the columns by table; a table without columns there is one whose columns are not known.
    """
    try:
        tree, text = _parsed(sql, dialect)
        _check_reads_only(tree, dialect)
        _check_functions(tree, dialect)
        _check_tables(tree, dialect)
        names = resolve_names(tree, schemas, dialect)
    except RecursionError as exc:
        raise StatementRefused(datasource, f"the statement is nested too deeply; {_SEND_ONE}") from exc
    except _Refusal as exc:
        raise StatementRefused(datasource, str(exc)) from exc
    except SQL_FAILURES as exc:
        raise StatementRefused(datasource, _unreadable(exc, dialect)) from exc
    if names.problems:
        raise StatementRefused(datasource, "; ".join(names.problems[:3]))
    return CheckedStatement(sql=text, dialect=dialect, tables=names.tables, columns=names.columns, tree=tree)


class _Refusal(Exception):
    """Carries the message up to where the datasource's name is known."""


def _parsed(sql: str, dialect: str) -> tuple[exp.Expr, str]:
    if len(sql) > MAX_CHARACTERS:
        raise _Refusal(f"the statement has {len(sql)} characters; {MAX_CHARACTERS} are allowed, shorten it")
    if "\x00" in sql or any("\ud800" <= letter <= "\udfff" for letter in sql):
        raise _Refusal("the statement holds a NUL or half a character; send it as UTF-8 text")
    if sql.lstrip().startswith("```"):
        raise _Refusal("the statement is wrapped in a Markdown fence; send the SQL alone")
    tokens = Dialect.get_or_raise(dialect).tokenize(sql)
    _check_tokens(tokens)
    statements = [
        statement
        for statement in sqlglot.parse(sql, dialect=dialect)
        if statement is not None and not isinstance(statement, exp.Semicolon)
    ]
    if len(statements) != 1:
        raise _Refusal(f"there are {len(statements)} statements; {_SEND_ONE}")
    return statements[0], sql[: tokens[-1].end + 1].rstrip("; \t\r\n")


def _check_tokens(tokens: list[Token]) -> None:
    """Before the parser, which answers what it does not know with a warning in the log."""
    if not tokens or tokens[0].token_type == TokenType.SEMICOLON:
        raise _Refusal(f"there is no statement; {_SEND_ONE}")
    if len(tokens) > MAX_TOKENS:
        raise _Refusal(f"the statement has {len(tokens)} tokens; {MAX_TOKENS} are allowed, shorten it")
    first = tokens[0]
    if first.token_type not in _FIRST_TOKENS:
        word = first.text
        if word.upper() in _STATEMENT_WORDS:
            raise _Refusal(f"it begins with '{word}', and is not a SQL statement that only reads; {_SEND_ONE}")
        raise _Refusal(f"this is not a SQL statement: it begins with '{word}'; {_SEND_ONE}")
    for letter, sign, name in zip(tokens, tokens[1:], tokens[2:], strict=False):
        touching = letter.end + 1 == sign.start and sign.end + 1 == name.start
        if touching and (letter.text.upper(), sign.text, name.token_type) == ("U", "&", TokenType.IDENTIFIER):
            # To PostgreSQL one name in escapes, to sqlglot three tokens: the policy would judge another name.
            raise _Refusal(f'U&"{name.text}" is a name written in escapes; write it plainly')
    last = len(tokens)
    while last and tokens[last - 1].token_type == TokenType.SEMICOLON:
        last -= 1
    if any(token.token_type == TokenType.SEMICOLON for token in tokens[:last]):
        raise _Refusal(f"there is more than one statement; {_SEND_ONE}")


def _unreadable(error: Exception, dialect: str) -> str:
    where = ""
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        where = f" (line {first['line']}, column {first['col']}, at '{first['highlight']}')"
    language = {"sqlite": "SQLite", "postgres": "PostgreSQL"}.get(dialect, dialect)
    return f"this is not a SQL statement that can be read as {language}{where}; correct it and send one SELECT"


def _check_reads_only(tree: exp.Expr, dialect: str) -> None:
    if not isinstance(tree, _READS):
        raise _Refusal(f"'{tree.key.upper()}' does not only read; {_SEND_ONE}")
    for node in tree.walk():
        if isinstance(node, _WRITES):
            raise _Refusal(f"it holds {node.key.upper()}, and a datasource is read-only; {_SEND_ONE}")
        if isinstance(node, exp.Into):
            raise _Refusal("SELECT … INTO makes a table, and a datasource is read-only; leave INTO out")
        if isinstance(node, exp.Lock):
            raise _Refusal("FOR UPDATE and FOR SHARE lock rows, and a datasource is read-only; leave them out")
        if isinstance(node, exp.Placeholder | exp.Parameter):
            raise _Refusal(f"nothing fills the placeholder '{node.sql(dialect)}'; write the value itself")


def _check_functions(tree: exp.Expr, dialect: str) -> None:
    for name in _function_names(tree):
        if not _PLAIN_NAME.fullmatch(name):
            raise _Refusal(f"'{name}' is no plain name of a function; write it in letters, digits and _")
        lowered = name.lower()
        if dialect == "sqlite":
            denied = is_denied_in_sqlite(lowered)
        else:
            denied = lowered not in _POSTGRES_HARMLESS and _POSTGRES_DENIED.fullmatch(lowered) is not None
        if denied:
            raise _Refusal(f"the function {lowered} is not allowed: it can do more than read tables; leave it out")


def _function_names(tree: exp.Expr) -> Iterator[str]:
    """As written, for every function that sqlglot has no class of its own for; it has one for no denied function."""
    for node in tree.find_all(exp.Anonymous, exp.AnonymousAggFunc, exp.CombinedAggFunc, exp.ParameterizedAgg):
        yield node.name


def _check_tables(tree: exp.Expr, dialect: str) -> None:
    """The catalogs hold passwords' hashes, other people's statements and settings, and no answer to a question."""
    for table in tree.find_all(exp.Table):
        name, schema = table.name.lower(), table.db.lower()
        hidden = (
            schema == "pg_catalog" or (name.startswith("pg_") and not schema)
            if dialect == "postgres"
            else name.startswith(("pragma_", "sqlite_dbpage", "sqlite_stmt"))
        )
        if hidden:
            raise _Refusal(f"'{name}' belongs to the database itself and may not be read; name a table of the data")
