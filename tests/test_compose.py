"""`docker-compose.yml` keeps to the Compose schema and to what deploy/README.md promises. Nothing here runs Docker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.model_folder import SHIPPED_FOLDER
from backend.plan import Device, LaunchOptions, Part, make_plan
from backend.tiers.settings import read_settings

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"

_LOOPBACK_PORT = re.compile(r"127\.0\.0\.1:\d+:\d+\Z")
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:\?|:-)?([^}]*)\}")

COMPOSE_FILE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE_FILE["services"]
ENGINE_SERVICES = ("vllm", "vllm-cpu")
CACHE_SERVICES = ("lmcache", "lmcache-cpu")
REDIS = {"type": "resp", "host": "redis", "port": 6379}

# What differs between machines and containers: addresses, sizes, and what a model or a segment is called.
_OF_THE_PLACE = {
    *("--host", "--http-host", "--model", "--served-model-name", "--max-model-len", "--kv-transfer-config"),
    *("--l1-size-gb", "--l1-init-size-gb", "--shm-name"),
}


def is_one_shot(name: str) -> bool:
    """Whether it ends by itself and others wait for that."""
    waited_for = any(
        isinstance(wanted := service.get("depends_on", {}).get(name), dict)
        and wanted["condition"] == "service_completed_successfully"
        for service in SERVICES.values()
    )
    return waited_for and SERVICES[name].get("restart") == "no"


def test_the_file_is_valid_by_the_compose_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_every_published_port_is_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert _LOOPBACK_PORT.match(port), port
    assert SERVICES[name].get("network_mode") != "host"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_healthcheck_or_is_one_shot(name: str) -> None:
    assert ("healthcheck" in SERVICES[name]) != is_one_shot(name)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_is_waited_for_exists_in_every_profile_of_its_waiter(name: str) -> None:
    for wanted, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] in ("service_healthy", "service_completed_successfully")
        profiles = SERVICES[wanted].get("profiles")
        assert profiles is None or set(SERVICES[name].get("profiles", ["none"])) <= set(profiles)


def test_state_and_cache_are_reached_by_those_who_need_them_alone() -> None:
    networks = COMPOSE_FILE["networks"]
    assert networks["state"]["internal"] is True
    assert networks["cache"]["internal"] is True
    members = {name: {service for service in SERVICES if name in SERVICES[service]["networks"]} for name in networks}
    assert members["state"] == {"postgres", "init", "gateway"}
    assert members["cache"] == {"redis", *CACHE_SERVICES}
    assert members["engine"] == {"gateway", *CACHE_SERVICES, *ENGINE_SERVICES}


def test_no_password_is_in_the_file_and_each_must_be_given() -> None:
    variables = _VARIABLE.findall(COMPOSE.read_text())
    passwords = {name: operator for name, operator, _ in variables if "PASSWORD" in name}
    assert passwords == dict.fromkeys(
        ("KVASIR_POSTGRES_PASSWORD", "KVASIR_READER_PASSWORD", "KVASIR_REDIS_PASSWORD"), ":?"
    )
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or key == "REDISCLI_AUTH":
                assert _VARIABLE.fullmatch(str(value)), key


def test_every_variable_is_in_the_readme() -> None:
    readme = (ROOT / "deploy" / "README.md").read_text()
    missing = {name for name, _, _ in _VARIABLE.findall(COMPOSE.read_text())} - set(
        re.findall(r"`(KVASIR_\w+)`", readme)
    )
    assert not missing


def test_files_that_the_services_name_are_there() -> None:
    for service in SERVICES.values():
        if "build" in service:
            dockerfile = ROOT / service["build"]["dockerfile"]
            copied = re.findall(r"^COPY (?:--\S+ )?(.+) \S+$", dockerfile.read_text(), re.MULTILINE)
            for source in (source for line in copied for source in line.split()):
                assert (ROOT / source).exists(), source
        for volume in service.get("volumes", []):
            if isinstance(volume, str) and volume.startswith("./"):
                assert (ROOT / volume.partition(":")[0]).exists(), volume


@pytest.fixture
def up(tmp_path: Path) -> Any:
    """LMCache and vLLM as `kvasir backend up` starts them, with Redis as the tier behind RAM."""

    def parts(device: Device) -> tuple[Part, ...]:
        vllm = "vllm-cpu" if device == "cpu" else "vllm"
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\necho '{json.dumps({vllm: '0.32.0', 'lmcache': '0.5.6'})}'\n")
        python.chmod(0o755)
        options = LaunchOptions(SHIPPED_FOLDER, device=device, disk_adapter=json.dumps(REDIS))
        return make_plan(options, tmp_path / "home", python=python).parts

    return parts


def options_of(command: Sequence[str]) -> dict[str, str]:
    """By name, whether written `--name value` or `--name=value`; of a switch the value is empty, of a variable that
    it holds the default.
    """
    found = {}
    for place, word in enumerate(_VARIABLE.sub(r"\3", word) for word in command):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            after = command[place + 1] if place + 1 < len(command) else "--"
            found[name] = value if equals or after.startswith("--") else after
    return found


def general(options: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if name not in _OF_THE_PLACE}


@pytest.mark.parametrize(
    ("device", "cache", "engine"), [("cuda", "lmcache", "vllm"), ("cpu", "lmcache-cpu", "vllm-cpu")]
)
def test_the_pair_is_started_as_kvasir_backend_up_starts_it(up: Any, device: Device, cache: str, engine: str) -> None:
    for part, name in zip(up(device), (cache, engine), strict=True):
        ours, ups = options_of(SERVICES[name]["command"]), options_of(part.argv)
        assert general(ours) == general(ups)
        # The entrypoint of the GPU's image takes the model without a name.
        assert set(ours) | {"--model"} == set(ups) | {"--model"}


@pytest.mark.parametrize(("device", "name"), [("cuda", "lmcache"), ("cpu", "lmcache-cpu")])
def test_lmcache_runs_with_kvasirs_policies_and_their_settings(up: Any, device: Device, name: str) -> None:
    cache, _ = up(device)
    _, script, settings, server, *_ = SERVICES[name]["command"]
    assert (mounted(name, script), server) == (Path(cache.argv[1]), "server")
    ups = read_settings(cache.argv[2])
    (tier,) = ups.tiers
    assert read_settings(settings) == replace(
        ups,
        model="/model",
        state_dir=Path("/tmp"),
        profile=Path("/tmp/profile.json"),
        tiers=(replace(tier, name="redis"),),
        engine_url="http://vllm:8100",
    )


@pytest.mark.parametrize(("device", "name"), [("cuda", "vllm"), ("cpu", "vllm-cpu")])
def test_vllm_has_the_connector_of_up_and_finds_it(up: Any, device: Device, name: str) -> None:
    _, engine = up(device)
    ours, ups = (
        json.loads(options_of(command)["--kv-transfer-config"]) for command in (SERVICES[name]["command"], engine.argv)
    )
    ups["kv_connector_extra_config"]["lmcache.mp.host"] = "tcp://lmcache"
    assert ours == ups
    assert ours["kv_load_failure_policy"] == "recompute"
    module = f"{SERVICES[name]['environment']['PYTHONPATH']}/{ours['kv_connector_module_path']}.py"
    assert mounted(name, module).is_file()


@pytest.mark.parametrize("name", CACHE_SERVICES)
def test_the_tier_behind_lmcaches_ram_is_redis(name: str) -> None:
    assert json.loads(options_of(SERVICES[name]["command"])["--l2-adapter"]) == REDIS
    assert name == "lmcache" or "lmcache" in SERVICES[name]["networks"]["engine"]["aliases"]


def mounted(name: str, path: str) -> Path:
    """The file of this repository that a service sees at `path`."""
    for volume in SERVICES[name]["volumes"]:
        source, _, target = volume.removesuffix(":ro").partition(":") if isinstance(volume, str) else ("", "", "-")
        if path.startswith(f"{target}/"):
            return ROOT / source / path.removeprefix(f"{target}/")
    raise AssertionError(f"{name} mounts nothing at {path}")


def test_the_gpu_pair_reserves_one_gpu_and_shares_its_memory() -> None:
    for name in ("lmcache", "vllm"):
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "device_ids": ["${KVASIR_GPU:-0}"], "capabilities": ["gpu"]}
    assert SERVICES["lmcache"]["ipc"] == "shareable"
    assert SERVICES["vllm"]["ipc"] == "service:lmcache"


@pytest.mark.parametrize("script", ["first-start.sh", "postgres-init.sh"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = ROOT / "deploy" / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
