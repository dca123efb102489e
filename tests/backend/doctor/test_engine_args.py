from __future__ import annotations

from backend.doctor.engine_args import has_arg, with_arg


def test_an_argument_takes_the_place_of_its_former_value_in_either_form():
    given = ("--max-num-seqs", "2", "--enforce-eager", "--seed=1")
    assert with_arg(given, "--max-num-seqs=8") == (
        "--engine-arg=--enforce-eager",
        "--engine-arg=--seed=1",
        "--engine-arg=--max-num-seqs=8",
    )
    assert with_arg(("--max-num-seqs=2",), "--max-num-seqs=8") == ("--engine-arg=--max-num-seqs=8",)


def test_the_value_of_another_argument_stays():
    given = ("--seed", "1", "--max-num-seqs-of-others=3")
    assert with_arg(given, "--max-num-seqs=8") == (
        "--engine-arg=--seed",
        "--engine-arg=1",
        "--engine-arg=--max-num-seqs-of-others=3",
        "--engine-arg=--max-num-seqs=8",
    )
    assert has_arg(given, "--seed")
    assert not has_arg(given, "--max-num-seqs")
