"""A question that one item helps to answer and another misleads, and the replay of a change over it."""

from __future__ import annotations

from evals.case import Case, SqlResult
from evals.replay import compare
from gateway.replay import ReplayReport

from .conftest import Shop, gotcha

CANCELLED = "How many orders placed in 2025 were cancelled?"
BY_STATE = "SELECT count(*) FROM orders WHERE state = 'cancelled' AND created_at LIKE '2025%'"
BY_STATUS = "SELECT count(*) FROM orders WHERE status = 'cancelled' AND created_at LIKE '2025%'"
GERMANS = "How many customers are there in Germany?"
GERMANS_SQL = "SELECT count(*) FROM customers WHERE country = 'DE'"
HINT = gotcha("state", "Use orders.state, not orders.status.", "cancelled")
WRONG_HINT = gotcha("status", "Use orders.status, not orders.state.", "orders", "cancelled")

cancelled = Case("cancelled", CANCELLED, (SqlResult((BY_STATE,)),))
germans = Case("germans", GERMANS, (SqlResult((GERMANS_SQL,)),))


def replayed(shop: Shop, *cases: Case, base: str, head: str = "main", repeats: int = 1) -> ReplayReport:
    return compare(shop.core, shop.assistant, cases, base=base, head=head, repeats=repeats)
