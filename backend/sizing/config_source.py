"""Where a model's config comes from: a file, a folder, or the table of known models that ships.

The table, `known_models.json`, holds of each config what its shape needs, in the fields of its own `config.json`. A
field that is left out has the default of its architecture in transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz, process, utils

from backend.errors import ModelConfigInvalid, ModelNotKnown
from backend.model_folder import model_folder

_NEAR = 60.0
_NEAR_COUNT = 4


@dataclass(frozen=True)
class ModelConfig:
    """`fields` as the config file has them. `name` is what results call the model."""

    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class KnownModel:
    """An entry of the table. `aliases` are models of exactly the same shape."""

    name: str
    aliases: tuple[str, ...]
    fields: Mapping[str, Any]


def find_config(given: str | Path) -> ModelConfig:
    """The config of a file, a folder or a known name; names are read without regard to case, also without their owner.

    Raises `ModelNotKnown`, or `ModelConfigInvalid` for a file that is not a JSON object.
    """
    path = model_folder(given)
    if path.is_dir() and (path / "config.json").is_file():
        return ModelConfig(path.name if str(given) != "kvasir-mini" else "kvasir-mini", _read(path / "config.json"))
    if path.is_file():
        return ModelConfig(path.parent.name if path.name == "config.json" else path.stem, _read(path))
    known = _by_name().get(str(given).lower())
    if known is None:
        raise ModelNotKnown(str(given), near_names(str(given), _all_names()))
    return ModelConfig(known.name, known.fields)


@cache
def known_models() -> tuple[KnownModel, ...]:
    """The table that ships, by name."""
    table = json.loads((files("backend.sizing") / "known_models.json").read_text(encoding="utf-8"))
    return tuple(
        KnownModel(name, tuple(entry.get("aliases", ())), entry["config"]) for name, entry in sorted(table.items())
    )


def near_names(given: str, names: list[str]) -> tuple[str, ...]:
    """Those of `names` that `given` may mean, best first."""
    found = process.extract(
        given, names, scorer=fuzz.WRatio, processor=utils.default_process, limit=_NEAR_COUNT, score_cutoff=_NEAR
    )
    return tuple(name for name, _, _ in found)


def _all_names() -> list[str]:
    return [name for model in known_models() for name in (model.name, *model.aliases)]


@cache
def _by_name() -> dict[str, KnownModel]:
    found: dict[str, KnownModel] = {}
    for model in known_models():
        for name in (model.name, *model.aliases):
            found[name.lower()] = model
            found.setdefault(name.rpartition("/")[2].lower(), model)
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelConfigInvalid(str(path), "the file", f"cannot be read as JSON: {exc}") from exc
    if not isinstance(content, dict):
        raise ModelConfigInvalid(str(path), "the file", "is not a JSON object; give a model's config.json")
    return content
