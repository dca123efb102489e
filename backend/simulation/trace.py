"""Traces of prefix hashes, in the form that Mooncake published (github.com/kvcache-ai/Mooncake, FAST'25 release): JSON
lines

    {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2353]}

`timestamp` is in milliseconds, lengths are in tokens. An id of `hash_ids` stands for a block of tokens and all tokens
before it, so it always follows the same other id; the last block of a prompt may be shorter than the others, or left
out.

Blocks that the same requests asked for, in all of the trace, are one *run*: nothing that depends on what was asked can
tell them apart. So a policy may count a run's blocks instead of naming them, which is what makes a million requests a
matter of seconds. Because a block comes only after its parent, both were asked for by the same requests just if they
were asked for equally often.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json  # two and a half times as fast as `json`

from backend.simulation.errors import TraceInvalid

Ints = npt.NDArray[np.int64]
REQUESTS_AT_ONCE = 4096
LINES_BETWEEN_REPORTS = 100_000
MOST = 2**53


@dataclass(slots=True)
class Request:
    """One prompt: `blocks` are its blocks' ids in order, `runs` the runs that they make up, `first_run` the place of
    the first of them in `Trace.runs`.
    """

    index: int
    seconds: float
    input_tokens: int
    output_tokens: int
    blocks: list[int]
    runs: list[int]
    first_run: int


@dataclass(frozen=True, eq=False)
class Trace:
    """Requests in order. Runs are numbered from 0 on; blocks are, too, with gaps.

    `block_starts` and `run_starts` have one entry more than there are requests: request `i` has
    `blocks[block_starts[i] : block_starts[i + 1]]`. Of run `r`, `run_lengths[r]` is its number of blocks,
    `run_depths[r]` how many blocks come before it in a prompt, and `run_whole[r]` whether its blocks are full; a short
    block is a run of its own.
    """

    block_tokens: int
    seconds: npt.NDArray[np.float64]
    input_tokens: Ints
    output_tokens: Ints
    blocks: Ints
    block_starts: Ints
    runs: Ints
    run_starts: Ints
    run_lengths: Ints
    run_depths: Ints
    run_whole: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def unique_blocks(self) -> int:
        return int(self.run_lengths.sum())

    def requests(self) -> Iterator[Request]:
        for low in range(0, len(self), REQUESTS_AT_ONCE):
            high = min(low + REQUESTS_AT_ONCE, len(self))
            blocks = self.blocks[self.block_starts[low] : self.block_starts[high]].tolist()
            runs = self.runs[self.run_starts[low] : self.run_starts[high]].tolist()
            block_at = (self.block_starts[low : high + 1] - self.block_starts[low]).tolist()
            run_at = (self.run_starts[low : high + 1] - self.run_starts[low]).tolist()
            first = int(self.run_starts[low])
            asked = zip(
                self.seconds[low:high].tolist(),
                self.input_tokens[low:high].tolist(),
                self.output_tokens[low:high].tolist(),
                strict=True,
            )
            for i, (seconds, given, answered) in enumerate(asked):
                yield Request(
                    low + i,
                    seconds,
                    given,
                    answered,
                    blocks[block_at[i] : block_at[i + 1]],
                    runs[run_at[i] : run_at[i + 1]],
                    first + run_at[i],
                )


def read_trace(path: Path, block_tokens: int, progress: Callable[[str], None] | None = None) -> Trace:
    """Raises `TraceInvalid` with the first line that is wrong."""
    times, given, answered, starts = array("d"), array("q"), array("q"), array("q", [0])
    ids, lines = array("q"), array("q")
    names: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.isspace():
                    continue
                entry = _entry(path, number, line, block_tokens)
                seconds = entry["timestamp"] / 1000
                if times and seconds < times[-1]:
                    raise TraceInvalid(
                        path, number, "its timestamp is before that of the line above; sort the trace by timestamp"
                    )
                times.append(seconds)
                given.append(entry["input_length"])
                answered.append(entry["output_length"])
                try:
                    ids.fromlist(_numbers(entry["hash_ids"], names, bool(ids)))
                except (TypeError, OverflowError) as exc:
                    raise TraceInvalid(path, number, _NO_IDS) from exc
                starts.append(len(ids))
                lines.append(number)
                if progress and len(lines) % LINES_BETWEEN_REPORTS == 0:
                    progress(f"read {len(lines):,} requests")
    except OSError as exc:
        raise TraceInvalid(path, 0, f"cannot be read: {exc.strerror}; name a file of JSON lines") from exc
    except UnicodeDecodeError as exc:
        raise TraceInvalid(path, len(lines) + 1, "is no UTF-8; each line should be one JSON object") from exc
    if not ids:
        raise TraceInvalid(
            path, 0, "holds no block; each line should be an object with timestamp, input_length and hash_ids"
        )
    blocks, block_starts = _dense(np.frombuffer(ids, np.int64)), np.array(starts, np.int64)
    _check_prefixes(path, blocks, block_starts, lines)
    return _with_runs(block_tokens, np.array(times), np.array(given), np.array(answered), blocks, block_starts)


_NO_IDS = "hash_ids should be a list of 64-bit whole numbers, or in all of the trace of texts, one for each block"


def _numbers(ids: list[Any], names: dict[str, int], begun: bool) -> list[int]:
    """Raises `TypeError` for anything but numbers, or but texts where the trace began with texts."""
    kinds = set(map(type, ids))
    if kinds <= {int} and not (names and ids):
        return ids
    if kinds == {str} and (names or not begun):
        return [names.setdefault(name, len(names)) for name in ids]
    raise TypeError(kinds)


def _dense(ids: Ints) -> Ints:
    """The same ids as numbers from 0 on, with few left out."""
    if ids.min() >= 0 and ids.max() < 2 * ids.size:
        return ids
    return np.unique(ids, return_inverse=True)[1].astype(np.int64)


_NUMBERS = ("timestamp", "input_length", "output_length")


def _entry(path: Path, number: int, line: str, block_tokens: int) -> dict[str, Any]:
    try:
        entry = from_json(line)
    except ValueError as exc:
        raise TraceInvalid(path, number, f"is no JSON ({exc}); each line should be one object") from exc
    if not isinstance(entry, dict):
        raise TraceInvalid(path, number, f"is a JSON {type(entry).__name__}; each line should be one object")
    if "output_length" not in entry:
        entry["output_length"] = 0
    for field in _NUMBERS:
        value = entry.get(field)
        if type(value) is int and 0 <= value < MOST:
            continue
        if field == "timestamp" and type(value) is float and 0 <= value < MOST:
            continue
        raise TraceInvalid(path, number, f"{field} is {value!r}; it should be a whole number from 0 to 2^53")
    ids = entry.get("hash_ids")
    if not isinstance(ids, list):
        raise TraceInvalid(path, number, _NO_IDS)
    tokens = entry["input_length"]
    if not tokens // block_tokens <= len(ids) <= -(-tokens // block_tokens):
        raise TraceInvalid(
            path,
            number,
            f"{len(ids)} hash_ids do not fit input_length {tokens} in blocks of {block_tokens} tokens; "
            "name the trace's block with --block-tokens",
        )
    return entry


def _check_prefixes(path: Path, blocks: Ints, starts: Ints, lines: array[int]) -> None:
    before = _before(blocks, starts)
    parents = np.zeros(int(blocks.max()) + 1, np.int64)
    parents[blocks[::-1]] = before[::-1]  # the first occurrence stands
    wrong = np.flatnonzero(parents[blocks] != before)
    if wrong.size:
        at = int(wrong[0])
        request = int(np.searchsorted(starts, at, side="right")) - 1
        raise TraceInvalid(
            path,
            lines[request],
            f"number {at - int(starts[request]) + 1} of its hash_ids followed another block in a line above; "
            "an id should stand for a block and all before it",
        )


def _before(blocks: Ints, starts: Ints) -> Ints:
    """The block before each in its prompt, -1 for a first one."""
    before = np.empty_like(blocks)
    before[1:] = blocks[:-1]
    before[starts[:-1][starts[:-1] < starts[1:]]] = -1
    return before


def _with_runs(
    block_tokens: int,
    seconds: npt.NDArray[np.float64],
    given: Ints,
    answered: Ints,
    blocks: Ints,
    starts: Ints,
) -> Trace:
    counts = np.bincount(blocks)
    before = _before(blocks, starts)
    begins = (before < 0) | (counts[blocks] != counts[before])
    lengths = np.diff(starts)
    short = starts[1:][(lengths * block_tokens > given)] - 1
    begins[short] = True
    at = np.flatnonzero(begins)
    request_of = np.searchsorted(starts, at, side="right") - 1
    _, first, runs = np.unique(blocks[at], return_index=True, return_inverse=True)
    run_ends = np.append(at[1:], blocks.size)
    is_short = np.zeros(blocks.size, np.bool_)
    is_short[short] = True
    return Trace(
        block_tokens,
        seconds,
        given,
        answered,
        blocks,
        starts,
        runs.astype(np.int64),
        np.searchsorted(at, starts).astype(np.int64),
        (run_ends - at)[first],
        (at - starts[request_of])[first],
        ~is_short[at[first]],
    )
