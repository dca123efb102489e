"""What `--engine-type blend` changes in the two commands: LMCache's blend engine, with Kvasir's connector for vLLM.

LMCache 0.5.6 ships the server's side alone. What vLLM does is in `vllm_connector/kvasir_blend_connector.py`, what
LMCache lacks on a CPU in `lmcache_server/blend_on_cpu.py`; docs/decisions/040 says why both are as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from backend.engine_python import EnginePython, version_of
from backend.errors import LaunchOptionInvalid

if TYPE_CHECKING:
    from backend.plan import Device, LaunchOptions

BLEND_CONNECTOR = {
    "kv_connector": "KvasirBlendConnector",
    "kv_connector_module_path": "kvasir_blend_connector",
}
BLEND_ARGV = ("--no-enable-prefix-caching",)
"""vLLM keys its own cache by exact prefixes. What was moved there would be taken for exact by every later prompt."""

_LMCACHE = (0, 5, 6)
_MODELS = ("llama", "qwen2", "qwen3")
"""As in LMCache's own blending within the engine. Keys that are not rotated, or are latent, would be spoilt."""
_OPTION = "--engine-type blend"


def check_blend(options: LaunchOptions, model: Path, device: Device, python: EnginePython) -> None:
    """Raises `LaunchOptionInvalid` for what cannot go with it."""
    if version_of(python.lmcache)[:3] != _LMCACHE:
        wanted = ".".join(map(str, _LMCACHE))
        raise LaunchOptionInvalid(
            _OPTION, f"speaks LMCache {wanted}'s protocol, and '{python.path}' has {python.lmcache}; install {wanted}"
        )
    kind = json.loads((model / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind not in _MODELS:
        raise LaunchOptionInvalid(
            _OPTION,
            f"moves keys of models whose layers all rotate them alike: {', '.join(_MODELS)}; "
            f"'{model}' is of type {kind}",
        )
    if device == "cpu" and not options.policy:
        raise LaunchOptionInvalid(
            _OPTION, "needs Kvasir's part in LMCache, which has no kernel for it on a CPU; leave out --plain-cache"
        )


def blend_extra(device: Device) -> dict[str, object]:
    """More keys for the connector. On a CPU, the server copies from vLLM's memory, as it does on a GPU by itself."""
    return {"lmcache.mp.mp_transfer_mode": "lmcache_driven"} if device == "cpu" else {}
