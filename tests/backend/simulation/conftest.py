from __future__ import annotations

import json

import pytest

from backend.simulation.trace import read_trace


@pytest.fixture
def trace_of(tmp_path):
    """A trace of prompts in blocks of 10 tokens, a second apart; a letter of a prompt is a block's content."""

    def make(*prompts, output_tokens=5, seconds=None, short=()):
        file = tmp_path / "trace.jsonl"
        with file.open("w") as stream:
            for number, prompt in enumerate(prompts):
                entry = {
                    "timestamp": 1000 * (seconds[number] if seconds else number),
                    "input_length": 10 * len(prompt) - (3 if number in short else 0),
                    "output_length": output_tokens,
                    "hash_ids": [prompt[: end + 1] for end in range(len(prompt))],
                }
                stream.write(json.dumps(entry) + "\n")
        return read_trace(file, 10)

    return make
