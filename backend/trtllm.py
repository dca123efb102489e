"""What to start TensorRT-LLM with: a configuration with KV reuse and an offload to the host's memory, and the command.

Generated only: nothing here has been run against TensorRT-LLM. Names of options are those of NVIDIA's documentation
of `trtllm-serve` and `KvCacheConfig` (releases 1.0 and later).
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

from backend.cache_command import tensor_parallel
from backend.errors import LaunchOptionInvalid
from backend.model_folder import check_model_folder, model_folder
from backend.plan import LaunchOptions, check_options, window_tokens


@dataclass(frozen=True)
class TrtllmPlan:
    """`configuration` is the text that belongs into `path`; `config` is the part of kvasir.toml."""

    path: Path
    configuration: str
    argv: tuple[str, ...]
    config: str

    def text(self) -> str:
        return (
            f"# {self.path}\n{self.configuration}\n# engine, generated and not run by Kvasir\n"
            f"{shlex.join(self.argv)}\n\n# kvasir.toml\n{self.config}".rstrip("\n")
        )


def plan_trtllm(options: LaunchOptions, home: Path, *, dry_run: bool) -> TrtllmPlan:
    """Starts nothing, writes nothing.

    Raises `ModelFolderInvalid`, and `LaunchOptionInvalid` where it should be started, or cannot do what was asked.
    """
    if not dry_run:
        raise LaunchOptionInvalid(
            "--engine trtllm", "is generated, not started; add --dry-run, save what it prints, and start it yourself"
        )
    check_options(options)
    folder = check_model_folder(model_folder(options.model))
    if options.served_name not in (None, folder.path.name):
        raise LaunchOptionInvalid(
            "--served-name", f"trtllm-serve calls a model as its folder, '{folder.path.name}'; rename the folder"
        )
    path = home.expanduser().resolve() / "backend" / "trtllm.yaml"
    configuration = {
        "kv_cache_config": {
            "enable_block_reuse": True,
            # Of what the weights leave free, where vLLM's share is of the whole GPU.
            "free_gpu_memory_fraction": options.gpu_memory_share,
            # Bytes. Blocks that leave the GPU go here, and come back when their prefix does.
            "host_cache_size": round(options.l1_size_gb * 2**30),
        }
    }
    window = window_tokens(options, folder)
    argv = ["trtllm-serve", str(folder.path), "--host", "127.0.0.1", "--port", str(options.engine_port)]
    argv += ["--backend", "pytorch", "--max_seq_len", str(window)]
    if (tp := tensor_parallel(options.engine_args)) > 1:
        argv += ["--tp_size", str(tp)]
    argv += ["--extra_llm_api_options", str(path)]
    config = (
        "[engines.main]\n"
        f"model = {json.dumps(f'openai/{folder.path.name}')}\n"
        f"api_base = {json.dumps(f'http://127.0.0.1:{options.engine_port}/v1')}\n"
        # It asks for no key, and LiteLLM does not ask without one.
        'api_key = "none"\n'
        f"window_tokens = {window}\n"
    )
    return TrtllmPlan(path, yaml.safe_dump(configuration, sort_keys=False), tuple(argv), config)
