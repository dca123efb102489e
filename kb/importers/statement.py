"""What a file's SQL reads, from its parsed tree; never what the file says of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from kb.importers.errors import SourceInvalid
from kb.importers.imported import Known
from kb.sql_columns import columns_read
from kb.sql_failures import SQL_FAILURES

MAX_LETTERS = 20_000
"""Resolving the columns of a statement takes time with the square of its length."""

_PRODUCTS = {
    **dict.fromkeys(("mssql", "sqlserver", "synapse"), "tsql"),
    **dict.fromkeys(("local_file", "s3_file", "gcs_file", "minio_file", "motherduck"), "duckdb"),
}
"""What dbt's adapters and WrenAI's sources call them, where sqlglot has another name."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Reads SQL of one dialect against tables: those of the base and the file's own, with the columns of both."""

    dialect: str
    tables: Mapping[str, Collection[str]]

    @classmethod
    def of(cls, known: Known, tables: Mapping[str, Collection[str]], dialect: str = "") -> Statements:
        """`dialect` is the file's own; one that was asked for goes before it."""
        both = {**known.tables, **tables}
        merged = {name: (*known.tables.get(name, ()), *tables.get(name, ())) for name in both}
        return cls(known.dialect or dialect, {name: tuple(dict.fromkeys(merged[name])) for name in merged})

    def tree(self, sql: str) -> exp.Expression | None:
        """The one statement or expression of `sql`; `None` where sqlglot cannot read it."""
        if len(sql) > MAX_LETTERS:
            return None
        try:
            parsed = sqlglot.parse(sql, dialect=self.dialect)
        except SQL_FAILURES:
            return None
        # A comment behind the last semicolon is a tree of its own.
        trees = [tree for tree in parsed if tree is not None and not isinstance(tree, exp.Semicolon)]
        return trees[0] if len(trees) == 1 and isinstance(trees[0], exp.Expression) else None

    def query(self, sql: str) -> exp.Query | None:
        tree = self.tree(sql)
        # sqlglot takes a lone SELECT for a query.
        return tree if isinstance(tree, exp.Query) and (tree.selects or tree.args.get("from_")) else None

    def reads(self, sql: str) -> tuple[str, ...]:
        """`table.column` of each column that the query reads; empty where it cannot be resolved."""
        tree = self.query(sql)
        if tree is None:
            return ()
        return tuple(sorted(columns_read(tree.sql(self.dialect), self.dialect, self.tables)))

    def expression_reads(self, expression: str, table: str) -> tuple[str, ...]:
        """The same for an expression over the columns of one table."""
        source = exp.to_identifier(table).sql(self.dialect)
        return self.reads(f"SELECT {expression} FROM {source}")

    def unread(self, sql: str) -> str | None:
        """Why `depends_on` will be empty, as the end of a sentence; `None` where it will not."""
        if len(sql) > MAX_LETTERS:
            return f"has more than {MAX_LETTERS} letters"
        if self.query(sql) is None:
            return f"is not one query in {self.dialect or 'plain'} SQL; name its dialect with --dialect"
        if not self.reads(sql):
            return "reads tables or columns that the base does not know; introspect the database, then import again"
        return None


def dialect_of(product: str) -> str:
    """sqlglot's name for a database product's SQL; empty where there is none."""
    name = _PRODUCTS.get(product.lower(), product.lower())
    return name if name in sqlglot.Dialect.classes else ""


def require_dialect(name: str) -> None:
    """Raises `SourceInvalid` for a dialect that sqlglot does not know."""
    known = sorted(each for each in sqlglot.Dialect.classes if each)
    if name and name not in known:
        raise SourceInvalid("--dialect", f"'{name}' is no dialect; known: {', '.join(known)}")
