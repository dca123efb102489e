from __future__ import annotations

import json

import pytest

from backend.simulation.errors import TraceInvalid
from backend.simulation.trace import read_trace

GOOD = {"timestamp": 0, "input_length": 1000, "output_length": 3, "hash_ids": [7, 8]}


@pytest.fixture
def read(tmp_path):
    def read_lines(*lines, block_tokens=512):
        file = tmp_path / "trace.jsonl"
        file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        return read_trace(file, block_tokens)

    return read_lines


def test_blocks_that_the_same_requests_asked_for_are_one_run(trace_of):
    trace = trace_of("abcd", "abxy", "abcd", "q")
    lengths = [[int(trace.run_lengths[run]) for run in request.runs] for request in trace.requests()]
    depths = [[int(trace.run_depths[run]) for run in request.runs] for request in trace.requests()]
    assert lengths == [[2, 2], [2, 2], [2, 2], [1]]
    assert depths == [[0, 2], [0, 2], [0, 2], [0]]
    first, second, third, _ = trace.requests()
    assert first.runs == third.runs
    assert first.runs[0] == second.runs[0] != second.runs[1]
    assert trace.unique_blocks == 7


def test_a_short_last_block_is_a_run_of_its_own(trace_of):
    trace = trace_of("abc", "xy", short=(0,))
    runs = [request.runs for request in trace.requests()]
    assert [trace.run_whole[run] for run in runs[0]] == [True, False]
    assert [int(trace.run_lengths[run]) for run in runs[0]] == [2, 1]
    assert [trace.run_whole[run] for run in runs[1]] == [True]


def test_requests_keep_their_order_times_and_lengths(read):
    later = {"timestamp": 1500, "input_length": 512, "output_length": 9, "hash_ids": [7]}
    first, second = read(GOOD, "", later).requests()
    assert (first.seconds, first.input_tokens, first.output_tokens) == (0.0, 1000, 3)
    assert (second.index, second.seconds, second.input_tokens, second.output_tokens) == (1, 1.5, 512, 9)
    assert first.blocks[0] == second.blocks[0]


def test_ids_may_be_texts_or_large_numbers(read):
    texts = read({**GOOD, "hash_ids": ["3f", "9a"]}, {**GOOD, "hash_ids": ["3f", "bb"]})
    numbers = read({**GOOD, "hash_ids": [2**62, -5]}, {**GOOD, "hash_ids": [2**62, 4]})
    for trace in (texts, numbers):
        assert trace.unique_blocks == 3
        assert [len(request.runs) for request in trace.requests()] == [2, 2]


def test_an_engine_that_hashes_full_blocks_only_is_read_as_well(read):
    trace = read({**GOOD, "hash_ids": [7]})
    assert trace.run_whole.tolist() == [True]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is no JSON"),
        ("[1]", "is a JSON list"),
        ({**GOOD, "timestamp": -1}, "timestamp is -1"),
        ({**GOOD, "timestamp": float("nan")}, "timestamp is nan"),
        ({**GOOD, "input_length": True}, "input_length is True"),
        ({**GOOD, "output_length": 1.5}, "output_length is 1.5"),
        ({"timestamp": 0, "hash_ids": [7, 8]}, "input_length is None"),
        ({**GOOD, "hash_ids": "78"}, "hash_ids should be"),
        ({**GOOD, "hash_ids": [7, None]}, "hash_ids should be"),
        ({**GOOD, "hash_ids": ["7", "8"]}, "hash_ids should be"),
        ({**GOOD, "hash_ids": [7, 2**70]}, "hash_ids should be"),
        ({**GOOD, "hash_ids": [7, 8, 9]}, "3 hash_ids do not fit input_length 1000 in blocks of 512"),
        ({**GOOD, "hash_ids": [9, 8]}, "number 2 of its hash_ids followed another block"),
        ({**GOOD, "hash_ids": [8, 9]}, "number 1 of its hash_ids followed another block"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(read, line, problem):
    with pytest.raises(TraceInvalid, match="line 3") as caught:
        read(GOOD, GOOD, line)
    assert problem in str(caught.value)
    assert caught.value.line == 3


def test_times_that_go_back_are_told_with_their_line(read):
    with pytest.raises(TraceInvalid, match=r"line 2.*sort the trace"):
        read({**GOOD, "timestamp": 5}, {**GOOD, "timestamp": 4})


def test_an_empty_or_absent_trace_is_told(read, tmp_path):
    with pytest.raises(TraceInvalid, match="holds no block"):
        read("")
    with pytest.raises(TraceInvalid, match="cannot be read"):
        read_trace(tmp_path / "none.jsonl", 512)
