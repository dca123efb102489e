from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb.importers.errors import SourceInvalid
from kb.importers.imported import Known
from kb.importers.question_csv import import_csv
from kb.items import Provenance, Success

KNOWN = Known({"orders": ("id", "total", "state")}, "sqlite")


def write(folder: Path, text: str | bytes, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_row_becomes_a_proposed_success_that_depends_on_what_its_sql_reads(tmp_path: Path) -> None:
    path = write(tmp_path, "question,sql\nHow many are paid?,SELECT count(*) FROM orders WHERE state = 'paid'\n")
    imported = import_csv(path, KNOWN)
    (item,) = imported.items
    assert item.body == Success("How many are paid?", "SELECT count(*) FROM orders WHERE state = 'paid'")
    assert (item.status, item.depends_on) == ("proposed", ("orders.state",))
    assert item.provenance == Provenance("csv pairs.csv")
    assert item.id.startswith("success:how-many-are-paid-")
    assert imported.warnings == ()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n"])
def test_delimiter_byte_order_mark_and_empty_lines_do_not_matter(tmp_path: Path, delimiter: str, start: str) -> None:
    rows = [("Question", "SQL"), ("How much?", "\"SELECT sum(total), 'a;b|c'\r\nFROM orders\"")]
    path = write(tmp_path, start + "\r\n".join(delimiter.join(row) for row in rows) + "\r\n\r\n")
    (item,) = import_csv(path, KNOWN).items
    assert item.body == Success("How much?", "SELECT sum(total), 'a;b|c'\r\nFROM orders")


def test_doubled_quotes_are_one(tmp_path: Path) -> None:
    path = write(tmp_path, 'question,sql\n"Say ""total""","SELECT ""total"" FROM orders"\n')
    (item,) = import_csv(path, KNOWN).items
    assert item.body == Success('Say "total"', 'SELECT "total" FROM orders')
    assert item.depends_on == ("orders.total",)


def test_an_answer_may_be_prose_without_a_warning(tmp_path: Path) -> None:
    imported = import_csv(write(tmp_path, "question,answer\nWho owns it?,The finance team.\n"), KNOWN)
    assert imported.items[0].depends_on == ()
    assert imported.warnings == ()


def test_sql_that_cannot_be_read_or_resolved_is_told_with_its_line(tmp_path: Path) -> None:
    text = 'question,sql,author\nA?,"SELECT\n FROM FROM",a\nB?,SELECT x FROM elsewhere,b\n'
    imported = import_csv(write(tmp_path, text), KNOWN)
    others, first, second = imported.warnings
    assert "left out the columns author" in others
    assert ":2: the SQL is not one query in sqlite SQL" in first
    assert ":4: the SQL reads tables or columns that the base does not know" in second


def test_the_id_depends_on_the_question_alone(tmp_path: Path) -> None:
    one = import_csv(write(tmp_path, "question,sql\nHow  many?,SELECT 1\nB?,SELECT 2\n"), KNOWN)
    other = import_csv(write(tmp_path, "question;sql\nB?;SELECT 2\nHow many?;SELECT 3\n", "other.csv"), KNOWN)
    assert [item.id for item in one.items] == [item.id for item in other.items]


def test_the_same_row_twice_is_taken_once_and_told(tmp_path: Path) -> None:
    imported = import_csv(write(tmp_path, "question,answer\nA?,1\nA?,1\n"), KNOWN)
    assert len(imported.items) == 1
    assert "pairs.csv:3" in imported.warnings[0]


BAD = [
    (b"", 1, "the file is empty"),
    (b"\n\n", 1, "the file is empty"),
    (b"ask,sql\nA?,x\n", 1, "a column 'question' is expected; the header has ask, sql"),
    (b"question,query\nA?,x\n", 2, "no column 'sql' or 'answer'"),
    (b"question,sql\n", None, "holds nothing to import"),
    (b"question,sql\nA?,SELECT 1\nB?\n", 3, "has 1 fields, the header has 2"),
    (b"question,sql\nA?,SELECT a, b\n", 2, "has 3 fields"),
    (b"question,sql\nA?,\n", 2, "field 'sql': is empty"),
    (b"question,sql\n ,SELECT 1\n", 2, "field 'question': is empty"),
    (b'question,sql\nA?,"SELECT 1\nB?,SELECT 2\n', 2, "is not CSV"),
    (b'question,sql\nA?,"SELECT" 1\n', 2, "is not CSV"),
    (b"question,sql\nA?,SELECT 1\nA?,SELECT 2\n", 3, "is said otherwise at"),
    (b"question,sql\nA?,\0\n", 2, "NUL"),
    (b"question,sql\nA?,\xff\n", 2, "is not UTF-8"),
    ("question,sql\nA?,x\n".encode("utf-16"), 1, "save it as UTF-8"),
    (b"question,sql\nA?," + b"x" * 200_000 + b"\n", 2, "is not CSV: field larger"),
]


@pytest.mark.parametrize(("data", "line", "told"), BAD, ids=range(len(BAD)))
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, data: bytes, line: int | None, told: str) -> None:
    with pytest.raises(SourceInvalid) as caught:
        import_csv(write(tmp_path, data), KNOWN)
    assert told in str(caught.value)
    assert caught.value.line == line
    assert str(tmp_path / "pairs.csv") in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text("question,sql;\"\n\r\t|'x ", max_size=80).map(str.encode)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(SourceInvalid):
        imported = import_csv(write(Path(folder), b"question,sql\n" + data), KNOWN)
        assert all(item.status == "proposed" for item in imported.items)
