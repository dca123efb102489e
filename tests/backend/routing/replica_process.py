"""A scripted server in a process of its own, to be killed: `python replica_process.py PORT PIECE_SECONDS`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import uvicorn

from gateway.scripted_server import ScriptedServer

REPOSITORY = Path(__file__).parents[3]


class ReplicaProcess:
    """On a port of 127.0.0.1, from `start` to `kill`; several start at once, and each has its `await_ready`."""

    def __init__(self, port: int, piece_seconds: float) -> None:
        self.port, self._piece_seconds = port, piece_seconds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def api_base(self) -> str:
        return f"http://{self.name}/v1"

    def start(self) -> None:
        command = [sys.executable, __file__, str(self.port), str(self._piece_seconds)]
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self._process = subprocess.Popen(command, env=env, cwd=REPOSITORY)

    def await_ready(self) -> None:
        assert self._process is not None, "it was started"
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.api_base}/models", trust_env=False)
                return
            assert self._process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server is not there in time"
            time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._process = None


@contextlib.contextmanager
def replica_processes(ports: Sequence[int], piece_seconds: float) -> Iterator[list[ReplicaProcess]]:
    replicas = [ReplicaProcess(port, piece_seconds) for port in ports]
    try:
        for replica in replicas:
            replica.start()
        for replica in replicas:
            replica.await_ready()
        yield replicas
    finally:
        for replica in replicas:
            replica.kill()


def main(port: int, piece_seconds: float) -> None:
    server = ScriptedServer(text=" ".join(f"w{number}" for number in range(40)))
    server.piece_seconds = piece_seconds
    uvicorn.run(server.app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
