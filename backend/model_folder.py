"""A folder with a Hugging Face causal language model, checked before anything slow is done with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import ModelFolderInvalid

SHIPPED_MODEL = "kvasir-mini"
"""The model that comes with Kvasir; docs/reference-model.md describes it."""
SHIPPED_FOLDER = Path(__file__).resolve().parent / "mini" / "model"

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")


@dataclass(frozen=True)
class ModelFolder:
    """`window_tokens` is `max_position_embeddings`, or `None` for a model without positions to run out of.
    `dtype` is the one that the weights are stored in, such as "bfloat16", where the config says it."""

    path: Path
    window_tokens: int | None
    dtype: str | None

    @property
    def name(self) -> str:
        """What requests call the model where nothing else is said."""
        return SHIPPED_MODEL if self.path == SHIPPED_FOLDER else self.path.name


def model_folder(given: str | Path) -> Path:
    """The absolute path of the folder that is `given`, by its path or as the name of the shipped model.

    A folder of that name in the working directory goes before the shipped one.
    """
    path = Path(given).expanduser().resolve()
    return SHIPPED_FOLDER if str(given) == SHIPPED_MODEL and not path.exists() else path


def check_model_folder(path: Path) -> ModelFolder:
    """Read what identifies the model. Raises `ModelFolderInvalid`, which says what is missing."""
    if path == SHIPPED_FOLDER and not path.is_dir():
        raise ModelFolderInvalid(path, f"this installation of Kvasir is without its own model, {SHIPPED_MODEL}")
    if not path.is_dir():
        raise ModelFolderInvalid(path, "it is not a folder" if path.exists() else "it does not exist")
    config = _read_json(path, "config.json")
    if not any(next(path.glob(pattern), None) for pattern in _WEIGHTS):
        raise ModelFolderInvalid(path, "weights are missing (*.safetensors)")
    if not any((path / name).is_file() for name in _TOKENIZERS):
        raise ModelFolderInvalid(path, "the tokenizer is missing (tokenizer.json)")
    if not _has_chat_template(path):
        raise ModelFolderInvalid(
            path, "the chat template is missing (chat_template.jinja, or chat_template in tokenizer_config.json)"
        )
    # Models that also see images keep the language model's figures one level down.
    text = config.get("text_config", config)
    window = text.get("max_position_embeddings") if isinstance(text, dict) else None
    dtype = config.get("dtype", config.get("torch_dtype"))
    return ModelFolder(
        path=path,
        window_tokens=window if isinstance(window, int) else None,
        dtype=dtype if isinstance(dtype, str) else None,
    )


def _has_chat_template(path: Path) -> bool:
    if (path / "chat_template.jinja").is_file() or (path / "chat_template.json").is_file():
        return True
    if not (path / "tokenizer_config.json").is_file():
        return False
    return bool(_read_json(path, "tokenizer_config.json").get("chat_template"))


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((path / name).read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ModelFolderInvalid(path, f"{name} is missing") from exc
    except (OSError, ValueError) as exc:
        raise ModelFolderInvalid(path, f"{name} cannot be read: {exc}") from exc
    if not isinstance(content, dict):
        raise ModelFolderInvalid(path, f"{name} is not a JSON object")
    return content
