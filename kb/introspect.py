"""A database's own description of itself as items: `schema` for tables and views, `relationship` for foreign keys.

Only what is declared is taken. The database is read, never written; values are read only from columns on an
allow-list, since they go into prompts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import Enum, LargeBinary, NullType

from kb.codec import canonical_json
from kb.entities import is_name
from kb.errors import IntrospectionFailed
from kb.items import Column, Entity, Item, Provenance, Relationship, Schema, item_id
from kb.words import spoken

SOURCE = "introspection"
"""`provenance.source` of items made here."""

MAX_SAMPLES = 12
MAX_DISTINCT = 50
"""A column with more distinct values is no list of categories, so none of its values is a sample."""
MAX_VALUES = 1_000
"""A column with more distinct values names things that come and go, so none of its values is taken."""
MAX_SAMPLE_LETTERS = 60
ROWS_READ = 100_000
"""Values are sought among this many rows, and larger PostgreSQL tables are not counted but estimated."""


def introspect(
    url: str, *, database: str = "", sample: Collection[str] = (), tables: Collection[str] | None = None
) -> list[Item]:
    """Schema and relationship items of the default schema of the database at an SQLAlchemy URL, by id.

    `database` goes into the ids, for bases over several databases. `sample` allows `table.column` patterns (as in
    `fnmatch`, case matters) whose values may be read: of a column with at most `MAX_DISTINCT` values, the
    `MAX_SAMPLES` most frequent are its `samples`; the others, and all of a column with at most `MAX_VALUES`, are its
    `values`. Both are in alphabetical order, without texts longer than `MAX_SAMPLE_LETTERS`; a number is never one of
    the `values`, since no question is understood by it.
    `tables` limits the tables by patterns. Raises `IntrospectionFailed`, whose URL shows no password.
    """
    parsed = _parsed(url)
    shown = parsed.set(query={}).render_as_string(hide_password=True)
    try:
        engine = sa.create_engine(_read_only(parsed, shown), poolclass=NullPool)
    except NoSuchModuleError as exc:
        problem = f"no dialect '{parsed.drivername}'; write sqlite:///PATH, postgresql://… or install its package"
        raise IntrospectionFailed(shown, problem) from exc
    except ImportError as exc:
        raise IntrospectionFailed(shown, f"its driver '{exc.name}' is not there; install it") from exc
    try:
        with engine.connect() as connection:
            connection.execution_options(**({"postgresql_readonly": True} if _is_postgres(engine) else {}))
            reader = _Reader(connection, shown, database, tables, sample)
            return sorted(reader.items(), key=lambda item: item.id)
    except DBAPIError as exc:
        problem = f"{str(exc.orig).strip()}; check that it runs, and that this user may read every table asked for"
        raise IntrospectionFailed(shown, problem) from exc
    except SQLAlchemyError as exc:
        raise IntrospectionFailed(shown, f"{exc}; check the URL") from exc
    finally:
        engine.dispose()


def schema_fingerprint(body: Schema) -> str:
    """Of a table's columns and their types, whatever their order: what depends on it may break when it changes."""
    return columns_fingerprint((body.table, column.name, column.type) for column in body.columns)


def columns_fingerprint(columns: Iterable[tuple[str, str, str]]) -> str:
    """Of (table, column, type) triples, such as those that an item's `depends_on` names. 16 hex digits."""
    return sha256(canonical_json(sorted(columns))).hexdigest()[:16]


@dataclass(slots=True)
class _Reader:
    connection: Connection
    url: str
    database: str
    tables: Collection[str] | None
    sample: Collection[str]

    def items(self) -> Iterator[Item]:
        inspector = sa.inspect(self.connection)
        views = {*inspector.get_view_names()}
        if _is_postgres(self.connection):
            views.update(inspector.get_materialized_view_names())
        names = sorted({*inspector.get_table_names(), *views})
        if self.tables is not None:
            names = [name for name in names if allowed(name, self.tables)]
        if not names:
            what = "has no tables" if self.tables is None else f"has no table like {', '.join(self.tables)}"
            raise IntrospectionFailed(self.url, f"{what}; check the database's name and the user's rights")
        schemas = {name: self._schema(inspector, name) for name in names}
        self._refuse_vain_samples(schemas)
        for name, body in schemas.items():
            yield self._schema_item(body, "View" if name in views else "Table")
        for name in names:
            for key in inspector.get_foreign_keys(name):
                if key["referred_table"] in schemas and key["referred_schema"] is None:
                    yield self._relationship_item(
                        schemas[name],
                        key["constrained_columns"],
                        schemas[key["referred_table"]],
                        key["referred_columns"],
                    )

    def _schema(self, inspector: sa.Inspector, table: str) -> Schema:
        primary = set(inspector.get_pk_constraint(table)["constrained_columns"])
        comment = inspector.get_table_comment(table)["text"] if self.connection.dialect.supports_comments else None
        columns = tuple(
            Column(
                column["name"],
                self._type(table, column),
                column["nullable"] and column["name"] not in primary,
                column["name"] in primary,
                column.get("comment") or "",
                *self._samples_and_values(table, column),
            )
            for column in inspector.get_columns(table)
        )
        return Schema(table, columns, self.database, comment or "", self._row_count(table))

    def _type(self, table: str, column: ReflectedColumn) -> str:
        kind = column["type"]
        if isinstance(kind, NullType):
            return self._foreign_type(table, column["name"])
        if isinstance(kind, Enum) and kind.enums:
            # The labels are part of the declaration, and a query needs them.
            labels = ("'" + label.replace("'", "''") + "'" for label in kind.enums)
            return f"ENUM({', '.join(labels)})"
        return kind.compile(dialect=self.connection.dialect)

    def _foreign_type(self, table: str, column: str) -> str:
        """A type that SQLAlchemy does not know, such as an extension's, as the database spells it."""
        if not _is_postgres(self.connection):
            return "unknown"
        query = sa.text(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(quote_ident(:table)) AND attname = :column"
        )
        return str(self.connection.scalar(query, {"table": table, "column": column}) or "unknown").upper()

    def _row_count(self, table: str) -> int:
        if _is_postgres(self.connection):
            estimate = self.connection.scalar(
                sa.text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(quote_ident(:table))"),
                {"table": table},
            )
            if estimate is not None and estimate > ROWS_READ:
                return int(estimate)
        count: int = self.connection.scalars(sa.select(sa.func.count()).select_from(sa.table(table))).one()
        return count

    def _samples_and_values(self, table: str, column: ReflectedColumn) -> tuple[tuple[str, ...], tuple[str, ...]]:
        name = column["name"]
        if not allowed(f"{table}.{name}", self.sample) or isinstance(column["type"], LargeBinary):
            return (), ()
        source = sa.select(sa.column(name)).select_from(sa.table(table)).limit(ROWS_READ).subquery()
        # As text in the database's own spelling; also, some types (JSON) cannot be grouped by.
        value = sa.cast(source.c[name], sa.Text).label("value")
        rows = self.connection.execute(
            sa.select(value, sa.func.count().label("rows"))
            .where(source.c[name].is_not(None))
            .group_by(value)
            .limit(MAX_VALUES + 1)
        ).all()
        if len(rows) > MAX_VALUES:
            return (), ()
        by_frequency = [row.value for row in sorted(rows, key=lambda row: (-row.rows, row.value))]
        shown = by_frequency[:MAX_SAMPLES] if len(rows) <= MAX_DISTINCT else []
        others = (value for value in by_frequency[len(shown) :] if is_name(value))
        return _stored(shown), _stored(others)

    def _refuse_vain_samples(self, schemas: dict[str, Schema]) -> None:
        known = [f"{table}.{column.name}" for table, body in schemas.items() for column in body.columns]
        for pattern in self.sample:
            if not any(fnmatchcase(column, pattern) for column in known):
                problem = f"sample '{pattern}' fits no column; write TABLE.COLUMN or TABLE.*, such as {known[0]}"
                raise IntrospectionFailed(self.url, problem)

    def _schema_item(self, body: Schema, what: str) -> Item:
        return Item(
            id=item_id("schema", self._qualified(body.table)),
            title=f"{what} {body.table}",
            body=body,
            entities=(Entity(body.table, _spoken_forms(body.table)),),
            depends_on=tuple(f"{body.table}.{column.name}" for column in body.columns),
            schema_fingerprint=schema_fingerprint(body),
            provenance=Provenance(SOURCE),
        )

    def _relationship_item(
        self, left: Schema, left_columns: list[str], right: Schema, right_columns: list[str]
    ) -> Item:
        joined = [(left, name) for name in left_columns] + [(right, name) for name in right_columns]
        types = {(body.table, column.name): column.type for body in (left, right) for column in body.columns}
        keys = [(body.table, name) for body, name in joined]
        sides = f"{left.table}.{'+'.join(left_columns)}", f"{right.table}.{'+'.join(right_columns)}"
        return Item(
            id=item_id("relationship", self._qualified("-".join(sides))),
            title=" = ".join(sides),
            body=Relationship(left.table, tuple(left_columns), right.table, tuple(right_columns), self.database),
            refs=tuple(item_id("schema", self._qualified(body.table)) for body in dict.fromkeys((left, right))),
            depends_on=tuple(f"{table}.{name}" for table, name in dict.fromkeys(keys)),
            schema_fingerprint=columns_fingerprint((*key, types.get(key, "")) for key in keys),
            provenance=Provenance(SOURCE),
        )

    def _qualified(self, name: str) -> str:
        return f"{self.database}.{name}" if self.database else name


def allowed(name: str, patterns: Collection[str]) -> bool:
    """Whether one of the `fnmatch` patterns fits; case matters."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _spoken_forms(table: str) -> tuple[str, ...]:
    plural = spoken(table)
    singular = plural
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("s", "")):
        if plural.endswith(ending) and not plural.endswith(("ss", "us", "is")):
            singular = plural.removesuffix(ending) + instead
            break
    return tuple(form for form in dict.fromkeys((plural, singular)) if form and form != table)


def _stored(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(value for value in values if len(value) <= MAX_SAMPLE_LETTERS))


def _parsed(url: str) -> URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as exc:
        # It is not repeated here: what cannot be parsed cannot be freed of its password either.
        problem = "it is no URL; write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
        raise IntrospectionFailed("the database", problem) from exc
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def _read_only(url: URL, shown: str) -> URL:
    """The URL under which SQLite opens the file for reading and never makes one."""
    if url.get_backend_name() != "sqlite":
        return url
    name = url.database or ":memory:"
    path = Path(unquote(name.removeprefix("file:")) if "uri" in url.query else name)
    if not path.is_file():
        raise IntrospectionFailed(shown, f"there is no file {path}; give the path of an existing database")
    return url.set(database=f"file:{quote(str(path.resolve()))}", query={"mode": "ro", "uri": "true"})


def _is_postgres(bind: Engine | Connection | Any) -> bool:
    return bool(bind.dialect.name == "postgresql")
