"""Arguments of vLLM in the commands that the doctor names: what was given stays, one is changed."""

from __future__ import annotations

from collections.abc import Sequence


def has_arg(given: Sequence[str], name: str) -> bool:
    return any(argument == name or argument.startswith(f"{name}=") for argument in given)


def with_arg(given: Sequence[str], argument: str) -> tuple[str, ...]:
    """The options of `up` for `given` with `argument` (`--name=value`, or `--name`) in the place of its former value.

    `up` replaces all of the last start's arguments by those it is given, so all are repeated.
    """
    name = argument.split("=")[0]
    kept: list[str] = []
    of_name = False
    for one in given:
        if one == name:
            of_name = True
        elif of_name and not one.startswith("--"):
            of_name = False
        else:
            of_name = False
            if not one.startswith(f"{name}="):
                kept.append(one)
    return tuple(f"--engine-arg={one}" for one in (*kept, argument))
