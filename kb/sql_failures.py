"""What sqlglot raises on a statement that it cannot read or write."""

from __future__ import annotations

from sqlglot.errors import SqlglotError

SQL_FAILURES = (SqlglotError, RecursionError, TypeError, ValueError, AttributeError, KeyError)
"""Its own errors, and what its own code stumbles over: a FULL JOIN without ON is a `TypeError` in MySQL's dialect.

Only around calls of sqlglot, where a wrong statement is the likely cause of whatever is raised.
"""
