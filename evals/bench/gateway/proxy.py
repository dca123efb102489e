"""The LiteLLM proxy, from an environment of its own: what the gateway is compared with."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.bench.gateway.mock_engine import MODEL

DEFAULT_PYTHON = Path(".venv-proxy/bin/python")
KEY = "sk-bench"
HEALTH = "/health/liveliness"
ENVIRONMENT: dict[str, str | None] = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    # Names that would give it a database, or settings of somebody's own.
    "CONFIG_FILE_PATH": None,
    "DATABASE_URL": None,
    "PYTHONPATH": None,
}
_PROBE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Proxy:
    command: tuple[str, ...]
    version: str


def found_proxy(python: Path) -> Proxy | str:
    """The proxy that this Python has, or why there is none."""
    script = python.parent / "litellm"
    if not (python.is_file() and script.is_file()):
        return f"no LiteLLM proxy at {script}; make one with 'make proxy-env', or name its Python with --proxy-python"
    probe = [str(python), "-c", "import importlib.metadata as m, fastapi, uvicorn; print(m.version('litellm'))"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.SubprocessError) as exc:
        return f"{python} has no LiteLLM proxy ({exc}); make one with 'make proxy-env'"
    return Proxy((str(script), "--host", "127.0.0.1", "--port", "{port}", "--num_workers", "1"), done.stdout.strip())


def written_config(folder: Path, engine_url: str) -> Path:
    """One model, a key, no database: the least that answers. JSON, which is YAML."""
    config = {
        "model_list": [
            {
                "model_name": MODEL,
                "litellm_params": {"model": f"openai/{MODEL}", "api_base": f"{engine_url}/v1", "api_key": "none"},
            }
        ],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "general_settings": {"master_key": KEY},
    }
    path = folder / "proxy.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def command_of(proxy: Proxy, config: Path) -> Sequence[str]:
    return (*proxy.command, "--config", os.fspath(config))
