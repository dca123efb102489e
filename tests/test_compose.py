"""`docker-compose.yml` keeps to the Compose schema and to what deploy/README.md promises. Nothing here runs Docker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"

_LOOPBACK_PORT = re.compile(r"127\.0\.0\.1:\d+:\d+\Z")
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:\?|:-)?([^}]*)\}")

COMPOSE_FILE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE_FILE["services"]
ENGINE_SERVICES = ("vllm", "vllm-cpu")
CACHE_SERVICES = ("lmcache", "lmcache-cpu")


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
                assert (ROOT / volume.partition(":")[0]).is_file(), volume


@pytest.mark.parametrize("name", ENGINE_SERVICES)
def test_vllm_loads_through_lmcache_and_recomputes_what_cannot_be_loaded(name: str) -> None:
    (argument,) = (a for a in SERVICES[name]["command"] if a.startswith("--kv-transfer-config="))
    connector = json.loads(argument.partition("=")[2])
    assert connector["kv_connector"] == "LMCacheMPConnector"
    assert connector["kv_load_failure_policy"] == "recompute"
    assert connector["kv_connector_extra_config"] == {"lmcache.mp.host": "tcp://lmcache", "lmcache.mp.port": 5555}


@pytest.mark.parametrize("name", CACHE_SERVICES)
def test_lmcache_has_the_chunk_and_the_tier_behind_its_ram(name: str) -> None:
    command = SERVICES[name]["command"]
    assert "--chunk-size=256" in command
    assert "--port=5555" in command
    (adapter,) = (json.loads(a.partition("=")[2]) for a in command if a.startswith("--l2-adapter="))
    assert adapter == {"type": "resp", "host": "redis", "port": 6379}
    assert name == "lmcache" or "lmcache" in SERVICES[name]["networks"]["engine"]["aliases"]


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
