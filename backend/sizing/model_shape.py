"""What a Hugging Face config says of a model's memory: which layers keep what of a sequence.

The config is read by transformers, as engines read it, so that defaults and derived fields (which layer is of which
type) are those of the architecture. Nothing is guessed past that: a field of unknown meaning is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from backend.errors import ModelConfigInvalid, SizeOptionInvalid
from backend.sizing.config_source import ModelConfig
from backend.sizing.dtypes import compute_dtype, stored_dtype
from backend.sizing.layer_cache import AttentionCache, LatentCache, LayerCache
from backend.sizing.recurrent_state import recurrent_state, state_dtype

_FULL = ("full_attention", "attention")
_RECURRENT = ("linear_attention", "mamba", "conv")
_BOTH = "hybrid"
_NOTHING = ("mlp", "moe")
_KNOWN = (*_FULL, "sliding_attention", "chunked_attention", *_RECURRENT, _BOTH, *_NOTHING)

_OLD_NAMES = {"hidden_size": ("n_embed",), "num_hidden_layers": ("n_layer",)}
"""Names that configs of older architectures use and their class does not list."""


@dataclass(frozen=True)
class ModelShape:
    """`layers` has, for each of the model's layers, what it keeps: nothing, one cache, or two side by side. States of
    fixed size are as they are on one of `tp` GPUs.

    `window_tokens` is the longest sequence that the positions allow, where they end. `stored_dtype` is the type of the
    weights as published, `compute_dtype` that of activations and, by default, of keys and values. `config` is the one
    of transformers, of the whole model.
    """

    name: str
    model_type: str
    tp: int
    query_heads: int | None
    layers: tuple[tuple[LayerCache, ...], ...]
    window_tokens: int | None
    stored_dtype: str
    compute_dtype: str
    state_dtype: str
    config: Any

    @property
    def caches(self) -> tuple[LayerCache, ...]:
        return tuple(cache for layer in self.layers for cache in layer)


def read_shape(model: ModelConfig, tp: int = 1) -> ModelShape:
    """The shape, for a model that is split over `tp` GPUs.

    Raises `ModelConfigInvalid`, which names the field; `SizeOptionInvalid` where the heads do not divide by `tp`.
    """
    config = _transformers_config(model)
    text = config.get_text_config(decoder=True)
    _check_given(model, text)
    reader = _LayerReader(model.name, text, _text_fields(model.fields), tp)
    query_heads = getattr(text, "num_attention_heads", None)
    if query_heads and query_heads % tp:
        raise SizeOptionInvalid("--tp", f"got {tp}; {query_heads} query heads cannot be shared out evenly")
    compute = compute_dtype(model.fields)
    return ModelShape(
        name=model.name,
        model_type=text.model_type,
        tp=tp,
        query_heads=query_heads,
        layers=reader.layers(),
        window_tokens=_window(text),
        stored_dtype=stored_dtype(model.fields, model.name),
        compute_dtype=compute,
        state_dtype=state_dtype(text, text.model_type, compute),
        config=config,
    )


def _transformers_config(model: ModelConfig) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model_type = model.fields.get("model_type")
    if not isinstance(model_type, str):
        raise ModelConfigInvalid(model.name, "model_type", "is missing; it names the architecture")
    if model_type not in CONFIG_MAPPING:
        raise ModelConfigInvalid(
            model.name,
            "model_type",
            f"is {model_type!r}, which the installed transformers does not know; update transformers, or give a copy "
            "of the config with the model_type of an architecture of the same shape, such as 'llama'",
        )
    try:
        return CONFIG_MAPPING[model_type].from_dict(dict(model.fields))
    except StrictDataclassError as exc:
        raise ModelConfigInvalid(model.name, "a field", f"is not valid: {' '.join(str(exc).split())}") from exc
    except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as exc:
        raise ModelConfigInvalid(model.name, "a field", f"is not valid: {type(exc).__name__}: {exc}") from exc


def _check_given(model: ModelConfig, text: Any) -> None:
    """A config leaves out what has its architecture's default, but never its size: without one it is another file."""
    fields = _text_fields(model.fields)
    for name in ("hidden_size", "num_hidden_layers"):
        names = {name, (text.attribute_map or {}).get(name, name), *_OLD_NAMES[name]}
        if not names & fields.keys() and not (name == "num_hidden_layers" and "layers_block_type" in fields):
            raise ModelConfigInvalid(
                model.name, name, "is missing; give the config.json of the model itself, not of an adapter or a part"
            )
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value <= 0 and not (name == "num_attention_heads" and value == 0):
            raise ModelConfigInvalid(model.name, name, f"is {value}; it must be more than 0")


def _text_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of the language model, which configs with other modalities keep one level down."""
    inner = fields.get("text_config")
    return inner if isinstance(inner, Mapping) else fields


def _window(text: Any) -> int | None:
    for name in ("max_position_embeddings", "max_sequence_length", "n_positions", "max_seq_len"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


class _LayerReader:
    """Reads one config's layers. `fields` are the raw ones: a few values are lost in the class of the architecture."""

    def __init__(self, source: str, text: Any, fields: Mapping[str, Any], tp: int) -> None:
        self._source, self._text, self._fields, self._tp = source, text, fields, tp
        self._types = getattr(text, "layer_types", None) or getattr(text, "layers_block_type", None)

    def layers(self) -> tuple[tuple[LayerCache, ...], ...]:
        count = self._text.num_hidden_layers
        if self._types is not None and len(self._types) != count:
            raise ModelConfigInvalid(
                self._source, "layer_types", f"has {len(self._types)} entries for {count} layers (num_hidden_layers)"
            )
        # The last layers of some models read the keys and values of earlier ones.
        shared = getattr(self._text, "num_kv_shared_layers", None) or 0
        return tuple(() if index >= count - shared else self._layer(index) for index in range(count))

    def _layer(self, index: int) -> tuple[LayerCache, ...]:
        config = self._layer_config(index)
        if self._types is None:
            # As engines do: one window for all layers, unless the config switches it off.
            window = getattr(config, "sliding_window", None)
            return (self._attention(config, window if getattr(config, "use_sliding_window", True) else None),)
        kind = self._types[index]
        if kind in _FULL:
            return (self._attention(config, None),)
        if kind == "sliding_attention":
            return (self._attention(config, self._positive(config, "sliding_window", index, kind)),)
        if kind == "chunked_attention":
            chunk = self._positive(config, "attention_chunk_size", index, kind)
            return (self._attention(config, chunk, chunked=True),)
        if kind in _RECURRENT:
            return (self._state(config),)
        if kind == _BOTH:
            return (self._attention(config, None), self._state(config))
        if kind in _NOTHING:
            return ()
        raise ModelConfigInvalid(
            self._source,
            f"layer_types[{index}]",
            f"is {kind!r}, a kind of attention whose cache is not known here; known are {', '.join(_KNOWN)}",
        )

    def _layer_config(self, index: int) -> Any:
        if getattr(self._text, "is_heterogeneous", False):
            return self._text.per_layer_config[index]
        return self._text

    def _positive(self, config: Any, field: str, index: int, kind: str) -> int:
        value = getattr(config, field, None)
        if not isinstance(value, int) or value <= 0:
            raise ModelConfigInvalid(
                self._source, field, f"is {value!r}, and layer_types[{index}] is {kind!r}; it must be a count of tokens"
            )
        return value

    def _state(self, config: Any) -> LayerCache:
        return recurrent_state(config, self._text.model_type, self._tp, self._source)

    def _attention(self, config: Any, window: int | None, *, chunked: bool = False) -> LayerCache:
        heads = getattr(config, "num_attention_heads", None)
        if not heads:
            raise ModelConfigInvalid(self._source, "num_attention_heads", "is missing")
        if (rank := self._fields.get("kv_lora_rank") or getattr(config, "kv_lora_rank", None)) is not None:
            # From the raw fields: some classes answer with another dimension under this name.
            position = self._fields.get("qk_rope_head_dim") or getattr(config, "qk_rope_head_dim", None)
            if not position:
                raise ModelConfigInvalid(
                    self._source, "qk_rope_head_dim", "is missing, and kv_lora_rank says latent attention (MLA)"
                )
            return LatentCache(heads, rank, position)
        head_dim = getattr(config, "head_dim", None) or getattr(config, "hidden_size_per_head", None)
        return AttentionCache(
            query_heads=heads,
            kv_heads=self._kv_heads(config, heads),
            head_dim=head_dim or config.hidden_size // heads,
            window_tokens=window or None,
            chunked=chunked,
        )

    def _kv_heads(self, config: Any, heads: int) -> int:
        if self._text.model_type == "falcon":
            # The older of Falcon's two shapes says "one head" by a flag.
            if getattr(config, "new_decoder_architecture", False):
                return int(config.num_kv_heads)
            return 1 if config.multi_query else heads
        kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
        if heads % kv_heads:
            raise ModelConfigInvalid(
                self._source, "num_key_value_heads", f"is {kv_heads}; it must divide num_attention_heads, {heads}"
            )
        return kv_heads
