"""Without a database, statements are compared."""

from __future__ import annotations

import pytest

from evals.bench.mini.sql_equality import same_sql

TABLES = (("FLIGHT", ("ID", "COST", "FROM_CITY")), ("CITY", ("CODE", "NAME")))


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("SELECT Falias0.ID FROM FLIGHT AS Falias0 ;", "select f.id from flight f", True),
        ("SELECT ID FROM FLIGHT WHERE COST > 3 AND ID = 1", "SELECT id FROM flight WHERE 1 = id AND 3 < cost", True),
        ("SELECT ID FROM FLIGHT WHERE COST > 3", "SELECT id FROM flight WHERE cost >= 3", False),
        (
            'SELECT F.ID FROM FLIGHT AS F , CITY AS C WHERE ( F.FROM_CITY = C.CODE AND C.NAME = "BOSTON" )',
            "SELECT id FROM city JOIN flight ON code = from_city WHERE name = 'BOSTON'",
            True,
        ),
        ('SELECT ID FROM FLIGHT WHERE FROM_CITY = "BOSTON"', "SELECT id FROM flight WHERE from_city = 'DENVER'", False),
        ("SELECT ID FROM FLIGHT", "SELECT id FROM flight LEFT JOIN city ON code = from_city", False),
        ("SELECT ID FROM FLIGHT", "SELECT DISTINCT id FROM flight", False),
        (
            "SELECT ID FROM FLIGHT WHERE ID = 1 OR (ID = 2 AND COST = 3)",
            "SELECT ID FROM FLIGHT WHERE (ID = 1 OR ID = 2) AND COST = 3",
            False,
        ),
        (
            "SELECT ID FROM FLIGHT WHERE COST = (SELECT MAX(F1.COST) FROM FLIGHT AS F1)",
            "SELECT a.id FROM flight a WHERE a.cost = (SELECT max(cost) AS most FROM flight)",
            True,
        ),
        ("SELECT COUNT(*) AS N FROM CITY ORDER BY N", "SELECT count(*) AS m FROM city ORDER BY m", True),
        ("SELECT ID , COST FROM FLIGHT", "SELECT cost, id FROM flight", False),
        ("SELECT ID FROM FLIGHT", "I do not know", False),
        ("SELECT ID FROM FLIGHT WHERE COST =  ;", "select id  from flight where cost =", True),
    ],
)
def test_statements_are_the_same_but_for_their_spelling(expected: str, actual: str, same: bool) -> None:
    assert same_sql(expected, actual, TABLES) is same
    assert same_sql(expected, expected, TABLES)
