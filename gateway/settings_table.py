"""What every table of `kvasir.toml` has in common: it is frozen, knows its fields, and takes no truth for a number."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

TENANT = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""A tenant's name is the cache salt of its requests, and vLLM refuses a salt with other characters."""


def checked_number(cls: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    """`value` as it came. Raises `ValueError` for a truth where the field is none."""
    # Pydantic takes `true` for 1, and a port of `true` is a slip.
    if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
        raise ValueError("it must not be true or false")
    return value


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    _numbers = field_validator("*", mode="before")(classmethod(checked_number))
