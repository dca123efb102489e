"""Which tables and columns a statement names, and which of them the schema does not have.

It refuses only what is certainly wrong: a name whose source cannot be told (a table function, a `*` over one) is
left to the database. Names are compared without case; whether "Orders" is orders is the database's to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from rapidfuzz import fuzz, process
from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.scope import Scope, traverse_scope

_LIKE_ENOUGH = 60.0
_LISTED = 12
_SYSTEM_COLUMNS = {
    "sqlite": frozenset({"rowid", "oid", "_rowid_"}),
    "postgres": frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}),
}


@dataclass(frozen=True)
class Names:
    """`problems` are sentences, in the order of the statement."""

    tables: tuple[str, ...]
    columns: tuple[str, ...]
    problems: tuple[str, ...]


def resolve_names(tree: exp.Expr, schemas: Mapping[str, Collection[str]] | None, dialect: str) -> Names:
    return _Resolver(schemas, dialect).resolve(tree)


class _Resolver:
    def __init__(self, schemas: Mapping[str, Collection[str]] | None, dialect: str) -> None:
        self._dialect = dialect
        self._schemas: dict[str, tuple[str, frozenset[str]]] | None = None
        if schemas is not None:
            self._schemas = {
                table.lower(): (table, frozenset(map(str.lower, columns))) for table, columns in schemas.items()
            }
        self._scope_of: dict[int, Scope] = {}
        self._tables: set[str] = set()
        self._columns: set[str] = set()
        self._problems: dict[str, None] = {}

    def resolve(self, tree: exp.Expr) -> Names:
        try:
            self._visit(traverse_scope(tree))
        except OptimizeError as exc:
            if self._schemas is not None:
                self._problems[f"its names cannot be told apart ({exc}); give each table an alias of its own"] = None
        return Names(tuple(sorted(self._tables)), tuple(sorted(self._columns)), tuple(self._problems))

    def _visit(self, scopes: list[Scope]) -> None:
        self._scope_of = {id(scope.expression): scope for scope in scopes}
        for scope in scopes:
            for _, source in scope.references:
                self._note_table(scope, source)
        for scope in scopes:
            if isinstance(scope.expression, exp.Select):
                for column in scope.find_all(exp.Column):
                    self._note_column(scope, column)

    def _note_table(self, scope: Scope, source: object) -> None:
        if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
            return
        if isinstance(scope.sources.get(source.alias_or_name), Scope):
            return
        key = self._key(source)
        if self._schemas is None:
            self._tables.add(key or source.name)
        elif key is None:
            self._problem("table", source.name, list(self._display_names()), "the tables are")
        else:
            self._tables.add(self._schemas[key][0])

    def _note_column(self, scope: Scope, column: exp.Column) -> None:
        if isinstance(column.this, exp.Star):
            return
        if column.table:
            self._note_qualified(scope, column)
        else:
            self._note_unqualified(scope, column)

    def _note_qualified(self, scope: Scope, column: exp.Column) -> None:
        holder: Scope | None = scope
        while holder is not None:
            source = _named(holder, column.table)
            if source is not None:
                columns = self._source_columns(source)
                name = column.name.lower()
                if columns is not None and name not in columns and not self._is_system(name):
                    if self._schemas is None:
                        return
                    self._missing(column, f"{self._label(source, column.table)}.{column.name}", columns)
                else:
                    self._record(source, column)
                return
            holder = holder.parent
        if self._schemas is not None:
            visible = [name for name in scope.sources if name]
            self._problem("table or alias", column.table, visible, "the statement reads")

    def _note_unqualified(self, scope: Scope, column: exp.Column) -> None:
        name = column.name.lower()
        holder: Scope | None = scope
        all_columns: set[str] = set()
        while holder is not None:
            sources = list(_own_sources(holder).values())
            known = [(source, self._source_columns(source)) for source in sources]
            if self._schemas is None and len(known) == 1 and holder is scope and name not in _select_aliases(scope):
                # Without schemas the column can be no one else's than the only source's.
                self._record(known[0][0], column)
            owners = [source for source, columns in known if columns is not None and name in columns]
            if len(owners) == 1:
                self._record(owners[0], column)
            if owners or any(columns is None for _, columns in known):
                return
            if name in _select_aliases(holder) or name in map(str.lower, _own_sources(holder)):
                return
            all_columns.update(*(columns for _, columns in known if columns is not None))
            holder = holder.parent
        if self._schemas is not None and not self._is_system(name):
            self._missing(column, column.name, frozenset(all_columns))

    def _record(self, source: exp.Expr | Scope, column: exp.Column) -> None:
        if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
            return
        key = self._key(source)
        if key is not None:
            table = key if self._schemas is None else self._schemas[key][0]
            self._columns.add(f"{table}.{column.name.lower()}")

    def _source_columns(self, source: exp.Expr | Scope) -> frozenset[str] | None:
        """None where they are not known."""
        if isinstance(source, Scope):
            return self._outputs(source)
        if self._schemas is None or not isinstance(source, exp.Table):
            return None
        key = self._key(source)
        if key is None or source.args.get("pivots") or _alias_columns(source):
            return None
        return self._schemas[key][1] or None

    def _outputs(self, scope: Scope) -> frozenset[str] | None:
        """The names a derived table or CTE offers, in lower case."""
        if scope.outer_columns:
            return frozenset(map(str.lower, scope.outer_columns))
        expression = scope.expression
        # A set operation is named by its first query.
        while isinstance(expression, exp.SetOperation | exp.Subquery):
            expression = expression.this
        inner = self._scope_of.get(id(expression))
        if inner is None or not isinstance(expression, exp.Select):
            return None
        scope = inner
        names: set[str] = set()
        for projection in expression.selects:
            if isinstance(projection, exp.Star) or (
                isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star)
            ):
                starred = self._starred(scope, projection)
                if starred is None:
                    return None
                names |= starred
            elif isinstance(projection, exp.Alias | exp.Column):
                names.add(projection.alias_or_name.lower())
            else:
                # What a database calls an expression without an alias is its own affair.
                return None
        return frozenset(names)

    def _starred(self, scope: Scope, star: exp.Expr) -> frozenset[str] | None:
        sources = _own_sources(scope)
        if isinstance(star, exp.Column):
            source = _named(scope, star.table)
            return None if source is None else self._source_columns(source)
        names: set[str] = set()
        for source in sources.values():
            columns = self._source_columns(source)
            if columns is None:
                return None
            names |= columns
        return frozenset(names)

    def _key(self, table: exp.Table) -> str | None:
        """How the schema names the table, or None where it does not have it."""
        name = table.name.lower()
        qualified = f"{table.db.lower()}.{name}" if table.db else name
        if self._schemas is None:
            return qualified
        if qualified in self._schemas:
            return qualified
        if table.db:
            # A schema that names its tables bare means the default one.
            return name if name in self._schemas and table.db.lower() in ("public", "main") else None
        return next((key for key in self._schemas if key.rpartition(".")[2] == name), None)

    def _label(self, source: exp.Expr | Scope, alias: str) -> str:
        return source.name if isinstance(source, exp.Table) else alias

    def _is_system(self, name: str) -> bool:
        return name in _SYSTEM_COLUMNS.get(self._dialect, frozenset())

    def _missing(self, column: exp.Column, label: str, columns: frozenset[str]) -> None:
        elsewhere = [table for table, held in (self._schemas or {}).values() if column.name.lower() in held]
        quoted = isinstance(column.this, exp.Identifier) and column.this.quoted
        if elsewhere and not quoted:
            owners = ", ".join(sorted(elsewhere)[:3])
            self._problems[f"unknown column '{label}'; '{column.name}' is a column of {owners}: join it"] = None
            return
        text = f"; for a text write '{column.name}' in single quotes" if quoted else ""
        self._problem("column", label, sorted(columns), "the columns are", text)

    def _problem(self, what: str, label: str, choices: list[str], listing: str, also: str = "") -> None:
        bare = label.rpartition(".")[2].lower()
        nearest = process.extractOne(bare, choices, scorer=fuzz.WRatio, processor=str.lower, score_cutoff=_LIKE_ENOUGH)
        if nearest is not None:
            advice = f"did you mean '{nearest[0]}'?"
        else:
            more = ", …" if len(choices) > _LISTED else ""
            advice = f"{listing} {', '.join(choices[:_LISTED])}{more}" if choices else "there are none to choose from"
        self._problems[f"unknown {what} '{label}'; {advice}{also}"] = None

    def _display_names(self) -> list[str]:
        return [table for table, _ in (self._schemas or {}).values()]


def _own_sources(scope: Scope) -> dict[str, exp.Expr | Scope]:
    """What the scope's FROM and JOINs bring, without the CTEs it merely could name."""
    return {name: source for name, (_, source) in scope.selected_sources.items()}


def _named(scope: Scope, name: str) -> exp.Expr | Scope | None:
    wanted = name.lower()
    return next((source for key, source in _own_sources(scope).items() if key.lower() == wanted), None)


def _select_aliases(scope: Scope) -> frozenset[str]:
    if not isinstance(scope.expression, exp.Select):
        return frozenset()
    return frozenset(
        projection.alias.lower() for projection in scope.expression.selects if isinstance(projection, exp.Alias)
    )


def _alias_columns(table: exp.Table) -> bool:
    alias = table.args.get("alias")
    return bool(alias is not None and alias.args.get("columns"))
