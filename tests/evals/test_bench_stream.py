"""`kvasir bench learning --only stream` on a made-up GeoQuery; the engine knows only what its prompt shows."""

from __future__ import annotations

import json
import pickle
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.client import Completion, Message, Sampling
from backend.errors import EngineTimeout
from evals.bench.bootstrap import clustered_interval, mean_interval
from evals.bench.cli import group
from evals.bench.errors import DataUnavailable, EngineFailed
from evals.bench.learning.stream import Stream, StreamAnswer, Streamed, asked_in_order, stream_core, streamed
from evals.bench.learning.stream_rows import rows_of_set
from evals.bench.learning.stream_set import stream_set
from evals.bench.mini.question_set import Question
from evals.bench.row import Asked, Row
from gateway.testing import ScriptedEngine
from kb.embedding import SentenceEmbedder
from kb.items import Success

CITIES = {"ardel": 11, "bomar": 22, "corin": 33, "dalva": 44, "enfor": 55, "fesik": 66, "golun": 77, "hadry": 88}
WORDINGS = tuple(
    f"{opening} many people live in".strip()
    for opening in ("how", "so how", "now how", "and how", "but how", "then how", "well how", "hey how", "ok how")
)
"""Each its own, so that no confirmed answer stands for another."""
WRONG = "SELECT population + 1 FROM city WHERE city_name = 'ardel'"


class Reader(ScriptedEngine):
    """Right where `enough` says so of the number of confirmed answers in its prompt, else wrong."""

    def __init__(self, enough: Sequence[int]) -> None:
        super().__init__()
        self._enough = enough

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        name = messages[-1]["content"].split()[-1]
        shown = messages[0]["content"].count("</success>")
        right = f"SELECT population FROM city WHERE city_name = '{name}'"
        self.enqueue(right if shown in self._enough else WRONG)
        return await super().complete(messages, sampling, cache_salt=cache_salt)


class PartlyRight(Reader):
    """Knows half of the cities, whatever is in its prompt."""

    def __init__(self) -> None:
        super().__init__([])

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        self._enough = [0] if messages[-1]["content"].split()[-1] in list(CITIES)[::2] else []
        return await super().complete(messages, sampling, cache_salt=cache_salt)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "text2sql_templates"
    folder.mkdir()
    with sqlite3.connect(folder / "geography.sqlite") as database:
        database.execute("CREATE TABLE city (city_name TEXT, population INTEGER)")
        database.executemany("INSERT INTO city VALUES (?, ?)", CITIES.items())
    database.close()
    asked = [*CITIES, "nowhere"]
    entries = [
        {
            "id": f"geography-{number}",
            "question": f"{wording} {city}",
            "gold_sql": [f'SELECT population FROM city WHERE city_name = "{city}" ;'],
        }
        for number, (wording, city) in enumerate(zip(WORDINGS, asked, strict=True))
    ]
    entries.append({"id": "geography-99", "question": "who rules", "gold_sql": ["SELECT king FROM throne ;"]})
    (folder / "geography.jsonl").write_text("\n".join(map(json.dumps, entries)))
    return tmp_path


def run(stream: Stream, embedder: SentenceEmbedder, folder: Path, enough: Sequence[int] = range(1, 9)) -> Streamed:
    return run_with(Reader(enough), stream, embedder, folder)


def run_with(engine: ScriptedEngine, stream: Stream, embedder: SentenceEmbedder, folder: Path) -> Streamed:
    folder.mkdir()
    questions = stream_set(stream.set, stream.data, folder, stream.limit)
    with stream_core(stream, questions, folder, embedder, engines={"main": engine}) as core:
        return asked_in_order(stream, questions, core, lambda _: None)


def test_a_set_is_cut_in_halves_without_questions_that_an_empty_answer_would_meet(data: Path, tmp_path: Path) -> None:
    found = stream_set("geography", data, tmp_path)
    asked, pool = ({question.text.split()[-1] for question in half} for half in (found.asked, found.pool))
    assert (len(asked), len(pool), asked | pool) == (4, 4, set(CITIES))
    assert all('"' not in question.gold[0] for question in (*found.asked, *found.pool))
    again = stream_set("geography", data, tmp_path, limit=2)
    assert (again.asked, again.pool) == (found.asked[:2], found.pool)


def test_every_question_of_the_shop_can_be_asked_and_none_is_answered_in_its_base(tmp_path: Path) -> None:
    found = stream_set("shop", tmp_path, tmp_path)
    questions = (*found.asked, *found.pool)
    assert (len(found.asked), len(found.pool), len({question.text for question in questions})) == (80, 80, 160)
    confirmed = {item.body.question for item in found.items if isinstance(item.body, Success)}
    assert confirmed
    assert not confirmed & {question.text for question in questions}
    assert {"schema:orders", "rule:what_counts", "metric:revenue"} <= {item.id for item in found.items}


def test_data_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match=r"geography\.(sqlite|jsonl)"):
        stream_set("geography", tmp_path, tmp_path)


def test_what_is_corrected_helps_the_questions_after_it(data: Path, embedder: SentenceEmbedder, tmp_path: Path) -> None:
    on = Stream("geography", 0, "on", data, corrected=1.0)
    learned = run(on, embedder, tmp_path / "on")
    assert [answer.right for answer in learned.answers] == [False, True, True, True]
    assert (learned.lessons("landed"), learned.in_use) == (4, 4)
    off = run(replace(on, mode="off"), embedder, tmp_path / "off")
    assert [answer.right for answer in off.answers] == [False] * 4
    assert [answer.question for answer in off.answers] == [answer.question for answer in learned.answers]
    assert off.lessons("landed") == 0
    static = run(replace(on, mode="static", examples=2), embedder, tmp_path / "static", enough=[2])
    assert [answer.right for answer in static.answers] == [True] * 4


def test_without_learning_the_answers_of_one_order_are_those_of_another(
    data: Path, embedder: SentenceEmbedder, tmp_path: Path
) -> None:
    first = Stream("geography", 0, "off", data)

    def asked(stream: Stream) -> Streamed:
        return run_with(PartlyRight(), stream, embedder, tmp_path / str(stream.order))

    other = asked(replace(first, order=1))
    assert {answer.right for answer in other.answers} == {True, False}
    assert asked(first).in_order(1) == other
    assert asked(replace(first, order=2)).in_order(1) == other


def test_a_wrong_answer_without_a_correction_teaches_nothing(
    data: Path, embedder: SentenceEmbedder, tmp_path: Path
) -> None:
    stream = Stream("geography", 0, "on", data, corrected=0.0)
    assert [answer.lesson for answer in run(stream, embedder, tmp_path / "on").answers] == [None] * 4


def test_how_many_wrong_answers_are_corrected_is_as_given_and_the_same_each_time() -> None:
    questions = [Question(f"shop-{number}", "who", ("SELECT 1",)) for number in range(80)]
    asked = [Stream("shop", order, "on", Path(), corrected=0.25) for order in range(5)]
    corrected = [[stream.corrects(question) for question in questions] for stream in asked]
    assert corrected == [[stream.corrects(question) for question in questions] for stream in asked]
    assert len(set(map(tuple, corrected))) == 5
    assert sum(map(sum, corrected)) / (5 * len(questions)) == pytest.approx(0.25, abs=0.06)


def test_only_a_gated_stream_holds_back_a_lesson_that_breaks_a_confirmed_answer(
    data: Path, embedder: SentenceEmbedder, tmp_path: Path
) -> None:
    # Two confirmed answers in the prompt confuse this engine, so that the second one breaks the first.
    gated = Stream("geography", 0, "on", data, corrected=1.0)
    held = run(gated, embedder, tmp_path / "gated", enough=[1])
    assert (held.lessons("landed"), held.lessons("waiting")) == (1, 3)
    assert sum(answer.gate_calls for answer in held.answers) > 0
    free = run(replace(gated, gate=False), embedder, tmp_path / "free", enough=[1])
    assert (free.lessons("landed"), free.lessons("waiting")) == (4, 0)
    assert sum(answer.gate_calls for answer in free.answers) == 0


def test_a_prompt_without_room_is_a_wrong_answer_that_can_be_corrected_and_a_failing_engine_ends_the_stream(
    data: Path, embedder: SentenceEmbedder, tmp_path: Path
) -> None:
    stream = Stream("geography", 0, "on", data, limit=1, corrected=1.0)
    (refused,) = run_with(ScriptedEngine(window_tokens=70), stream, embedder, tmp_path / "narrow").answers
    assert (refused.right, refused.answered, refused.lesson) == (False, False, "landed")
    failing = ScriptedEngine()
    failing.enqueue(EngineTimeout("main", 5.0))
    with pytest.raises(EngineFailed, match="no answer within 5 s") as failed:
        run_with(failing, stream, embedder, tmp_path / "failing")
    assert str(pickle.loads(pickle.dumps(failed.value))) == str(failed.value)


def test_a_stream_and_what_it_gives_can_be_sent_to_another_process(data: Path) -> None:
    piece = partial(streamed, Stream("geography", 1, "on", data))
    sent = pickle.loads(pickle.dumps(piece))
    assert (sent.func, sent.args) == (streamed, piece.args)
    given = Streamed(piece.args[0], (StreamAnswer("who", True, True, "landed", 2),), 1, 1)
    assert pickle.loads(pickle.dumps(given)) == given


def streams(mode: str, *orders: str) -> list[Streamed]:
    """Each order as its questions, in capitals where they were answered right."""
    made = []
    for number, order in enumerate(orders):
        stream = Stream("shop", number, mode, Path(), gate=False)  # type: ignore[arg-type]
        answers = (StreamAnswer(q.lower(), q.isupper(), True, "landed" if q.isupper() else None) for q in order)
        made.append(Streamed(stream, tuple(answers)))
    return made


def test_rows_compare_answer_by_answer_and_show_the_stream_by_fifths() -> None:
    runs = [
        *streams("on", "aBCDE", "eDCBA"),
        *streams("off", "abcde", "Edcba"),
        *streams("static", "ABCdE", "EdCBA"),
    ]
    rows = {row.name.removeprefix("shop stream, not gated, "): row for row in rows_of_set(runs)}
    on = rows["learning on"]
    assert (on.value, on.n, dict(on.baseline)) == (0.8, 10, {"off": 0.1, "static": 0.8})
    gain = rows["on − off"]
    assert (gain.value, gain.n, gain.ok) == (pytest.approx(0.7), 10, True)
    assert gain.interval == pytest.approx(clustered_interval([[0, 1], [1, 1], [1, 1], [1, 1], [1, -1]]))
    assert (rows["on − static"].value, rows["on − static"].ok) == (pytest.approx(0.0), None)
    fifths = [rows[f"on, {part} fifth"] for part in ("first", "second", "third", "fourth", "last")]
    assert [row.value for row in fifths] == [0.0, 1.0, 1.0, 1.0, 1.0]
    assert [row.baseline["off"] for row in fifths] == [0.5, 0.0, 0.0, 0.0, 0.0]
    assert (rows["lessons landed"].value, rows["lessons landed"].n) == (4, 2)


def test_copies_of_an_answer_make_no_interval_narrower() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    assert clustered_interval([[value] * 5 for value in values]) == pytest.approx(mean_interval(values))
    assert clustered_interval([[], []]) is None


def test_an_interval_that_touches_the_bound_is_not_clear_of_it() -> None:
    asked = Asked(clear_of=0.0)
    assert Row("gain", 0.1, "share", 10, (0.01, 0.2), asked=asked).ok
    assert not Row("gain", 0.1, "share", 10, (0.0, 0.2), asked=asked).ok
    assert not Row("gain", 0.1, "share", 10, None, asked=asked).ok
    assert asked.to_dict() == {"clear_of": 0.0}


def test_the_command_asks_each_stream_and_gives_as_many_static_examples_as_landed(data: Path) -> None:
    sizes = "--set geography --orders 1 --streamed 2 --corrected 1 --no-gate".split()
    result = CliRunner().invoke(group, ["learning", "--only", "stream", *sizes, "--data", str(data), "--json"])
    assert result.exit_code == 0, result.output
    rows = {row["name"].removeprefix("geography stream, not gated, "): row for row in json.loads(result.stdout)["rows"]}
    assert [rows[name]["n"] for name in ("learning on", "learning off", "static examples")] == [2, 2, 2]
    assert rows["lessons landed"]["value"] == 2
    assert rows["engine calls of the gate"]["value"] == 0
    assert rows["on − off"]["asked"] == {"clear_of": 0.0}


def test_the_command_says_which_data_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(group, ["learning", "--only", "stream", "--data", str(tmp_path)])
    assert result.exit_code == 3
    assert "geography" in result.stderr
