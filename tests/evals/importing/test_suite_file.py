"""What is written reads back as the same suite, and reads well."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from evals.case import Case, Equals, Judge, Refuses, Regex, Retrieves, Similar, SqlResult
from evals.suite import Suite, load_suite
from evals.suite_file import write_suite

SHOWN = """\
# Imported from x.csv (csv).
suite: shop
assistant: shop
repeats: 2
cases:
  - id: orders
    question: 'How many orders: all of them?'
    tags:
      - a
    expect:
      - sql_result:
          sql: |-
            SELECT count(*)
            FROM orders
          ordered: true

  - id: follow-up
    turns:
      - user: How many?
        assistant: SELECT 1
      - And then?
    expect:
      - refuses: true
      - regex:
          - a+
          - b
"""

_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
_several = st.lists(_texts, min_size=1, max_size=3).map(tuple)
_expectations = st.one_of(
    st.builds(Retrieves, _several),
    st.builds(SqlResult, _several, st.booleans()),
    st.builds(Equals, st.lists(_texts.map(str.strip).filter(str.strip), min_size=1, max_size=3).map(tuple)),
    st.builds(Regex, st.lists(st.sampled_from(["a+", r"\Aü|x$", " # "]), min_size=1).map(tuple)),
    st.builds(Similar, _several, st.floats(0.001, 1)),
    st.builds(Judge, _texts, st.none() | _texts),
    st.just(Refuses()),
)
_cases = st.builds(
    Case,
    _texts,
    _texts,
    st.lists(_expectations, min_size=1, max_size=3).map(tuple),
    st.lists(st.tuples(_texts, _texts), max_size=2).map(tuple),
    st.lists(_texts, max_size=2).map(tuple),
)
_suites = st.builds(
    Suite,
    _texts,
    _texts,
    st.integers(1, 20),
    st.lists(_cases, min_size=1, max_size=3, unique_by=lambda case: case.id).map(tuple),
)


def read(text: str) -> Suite:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "suite.yaml")
        path.write_bytes(text.encode())
        return load_suite(path)


def test_a_suite_is_written_as_people_would() -> None:
    count = SqlResult(("SELECT count(*)\nFROM orders",), ordered=True)
    follow_up = Case("follow-up", "And then?", (Refuses(), Regex(("a+", "b"))), (("How many?", "SELECT 1"),))
    suite = Suite(
        "shop", "shop", 2, (Case("orders", "How many orders: all of them?", (count,), tags=("a",)), follow_up)
    )

    assert write_suite(suite, remarks=["Imported from x.csv\n(csv)."]) == SHOWN
    assert read(SHOWN) == suite


def test_a_block_keeps_its_end_wherever_it_stands() -> None:
    ends = ("", "\n", "\n\n", "\n\n\n", " \n", "\u2028\n")
    cases = [Case(f"case {at}", "?", (SqlResult((f"SELECT\n{at}{end}",)),)) for at, end in enumerate(ends)]
    suite = Suite("shop", "shop", 1, tuple(cases))

    assert read(write_suite(suite)) == suite
    assert write_suite(suite).endswith("\n")


@settings(deadline=None)
@given(_suites, _texts)
def test_what_is_written_reads_back_as_the_same_suite(suite: Suite, remark: str) -> None:
    assert read(write_suite(suite, remarks=[remark])) == suite
