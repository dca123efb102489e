"""What can go wrong with engines and their processes, as a tree. No message carries an API key, or the
password of an address.

BackendError
├── EngineError                  a call to one engine; carries `engine`, its name in the configuration
│   ├── EngineMisconfigured      the entry of the configuration cannot work
│   ├── EngineUnreachable        nothing answers at its address
│   ├── EngineTimeout            no answer in time
│   ├── EngineInterrupted        the answer stopped before its end
│   └── EngineRefused            it answered with an error; carries `status` and `retry_after_seconds`
│       ├── ContextTooLong       the prompt and the answer do not fit its window
│       └── EngineFailing        its own fault (5xx): it is starting, ending or broken
├── ModelFolderInvalid           a model folder lacks something; carries `path` and `missing`
├── SizingError                  `kvasir backend size`
│   ├── ModelNotKnown            no file, no folder, no known name; carries `near`
│   ├── ModelConfigInvalid       a config cannot be sized; carries `source` and `field`
│   ├── GpuNotKnown              no such GPU in the list; carries `near`
│   └── SizeOptionInvalid        an option cannot work; carries `option`
├── CacheFailed                  a cache server did not do what it was told; carries `url`
├── ProfileInvalid               a `profile.json` cannot be used; carries `path`
├── MeasurementFailed            `kvasir backend profile` or `bench` could not measure; carries `step`
├── DoctorFailed                 `kvasir backend doctor` has nothing to look at
├── PlotFailed                   a plot cannot be drawn or written
└── LaunchError                  `kvasir backend up` or `down`
    ├── EnginePythonInvalid      the engine's Python is absent or lacks vLLM or LMCache
    ├── LaunchOptionInvalid      an option cannot work
    ├── PortTaken                something else listens on a port we need
    ├── AlreadyUp                it runs already
    ├── LaunchBusy               another up or down is at work in the same folder
    ├── PartFailed               a process ended, or was not ready in time
    └── StopFailed               a process outlived SIGKILL
"""

from __future__ import annotations

from pathlib import Path

from backend.address import without_credentials


class BackendError(Exception):
    """Base of all the backend's errors."""


class EngineError(BackendError):
    """A call to the engine `engine` failed."""

    def __init__(self, engine: str, message: str) -> None:
        self.engine = engine
        super().__init__(f"engine '{engine}': {message}")


class EngineMisconfigured(EngineError):
    """The engine's configuration cannot work; `setting` is the field that is wrong."""

    def __init__(self, engine: str, setting: str, problem: str) -> None:
        self.setting = setting
        super().__init__(engine, f"{setting} {problem}; correct it under [engines.{engine}] in kvasir.toml")


class EngineUnreachable(EngineError):
    """Nothing answers at `api_base`."""

    def __init__(self, engine: str, api_base: str | None) -> None:
        self.api_base = api_base
        where = without_credentials(api_base) if api_base else "the provider's address"
        super().__init__(
            engine,
            f"nothing answers at {where}; see what runs with 'kvasir backend status', "
            "start the local pair with 'kvasir backend up', or correct api_base in kvasir.toml",
        )


class EngineTimeout(EngineError):
    """No answer within `timeout_seconds`."""

    def __init__(self, engine: str, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        super().__init__(
            engine,
            f"no answer within {timeout_seconds:g} s; ask for fewer tokens (max_tokens) "
            f"or raise timeout_seconds under [engines.{engine}] in kvasir.toml",
        )


class EngineInterrupted(EngineError):
    """The answer stopped before its end; what came until then is incomplete."""

    def __init__(self, engine: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            engine,
            f"the answer stopped before its end ({reason}); ask again, and if it stays so, "
            "read the engine's log ('kvasir backend status' names it)",
        )


class EngineRefused(EngineError):
    """The engine answered with the HTTP status `status`."""

    def __init__(self, engine: str, status: int, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.status, self.retry_after_seconds = status, retry_after_seconds
        super().__init__(engine, f"refused with status {status}: {message}; {_next_step(engine, status)}")


class ContextTooLong(EngineRefused):
    """The prompt and the answer asked for do not fit the engine's window."""


class EngineFailing(EngineRefused):
    """The engine answered that the fault is its own, with a status from 500."""


class ModelFolderInvalid(BackendError):
    """A model folder lacks something; `missing` says what."""

    def __init__(self, path: Path, missing: str) -> None:
        self.path, self.missing = path, missing
        super().__init__(
            f"model folder '{path}': {missing}; give the folder of a Hugging Face causal language model "
            "(config.json, *.safetensors, tokenizer files with a chat template)"
        )


class CacheFailed(BackendError):
    """The cache server at `url` did not do what it was told. Nobody waits for it, so nothing else fails."""

    def __init__(self, url: str, problem: str) -> None:
        self.url = url
        super().__init__(
            f"cache at {url}: {problem}; see what runs with 'kvasir backend status', correct cache_url in kvasir.toml, "
            "or leave it out where LMCache runs without Kvasir's policies"
        )


class SizingError(BackendError):
    """Base of what `size` raises."""


class ModelNotKnown(SizingError):
    """`given` is no file, no folder with a config, and no known name; `near` are known names like it."""

    def __init__(self, given: str, near: tuple[str, ...]) -> None:
        self.given, self.near = given, near
        like = f"known names like it: {', '.join(near)}" if near else "no known name is like it"
        super().__init__(
            f"model '{given}' is neither a config file, nor a folder with config.json, nor a known name ({like}); "
            "give the folder of the model, or its config.json; 'kvasir backend size --list' shows the known names"
        )


class ModelConfigInvalid(SizingError):
    """The config `source` cannot be sized because of `field`."""

    def __init__(self, source: str, field: str, problem: str) -> None:
        self.source, self.field = source, field
        super().__init__(f"config of '{source}': {field} {problem}")


class GpuNotKnown(SizingError):
    """No GPU of the list is called `given`; `near` are names like it."""

    def __init__(self, given: str, near: tuple[str, ...]) -> None:
        self.given, self.near = given, near
        like = f"; did you mean {' or '.join(near)}?" if near else ";"
        super().__init__(
            f"GPU '{given}' is not in the list{like} 'kvasir backend size --list' shows it, "
            "and --memory sizes for any amount of memory"
        )


class SizeOptionInvalid(SizingError):
    """The option `option` cannot work."""

    def __init__(self, option: str, problem: str) -> None:
        self.option = option
        super().__init__(f"{option}: {problem}")


class ProfileInvalid(BackendError):
    """The file of a profile cannot be used."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"profile '{path}' {problem}; measure again with 'kvasir backend profile'")


class MeasurementFailed(BackendError):
    """A measurement did not measure what it should; `step` says which."""

    def __init__(self, step: str, problem: str) -> None:
        self.step = step
        super().__init__(f"{step}: {problem}")


class DoctorFailed(BackendError):
    """There is nothing to look at."""


class PlotFailed(BackendError):
    """A plot that was asked for cannot be drawn or written."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"plot: {problem}")


class LaunchError(BackendError):
    """Base of what `up` and `down` raise."""


class EnginePythonInvalid(LaunchError):
    """The interpreter that should run vLLM and LMCache cannot."""

    def __init__(self, python: Path, problem: str) -> None:
        self.python, self.problem = python, problem
        super().__init__(
            f"engine python '{python}' {problem}; install the engines with 'make engine', "
            "or name a python that has vllm and lmcache in KVASIR_ENGINE_PYTHON"
        )


class LaunchOptionInvalid(LaunchError):
    """The option `option` cannot work."""

    def __init__(self, option: str, problem: str) -> None:
        self.option = option
        super().__init__(f"{option}: {problem}")


class PortTaken(LaunchError):
    """Something else listens on `port`; `option` is what changes ours."""

    def __init__(self, port: int, part: str, holder: str | None, option: str) -> None:
        self.port, self.part, self.holder, self.option = port, part, holder, option
        by = f"taken by {holder}" if holder else "taken by a process of another user"
        super().__init__(f"port {port} of {part} is {by}; stop it, or choose another port with {option}")


class AlreadyUp(LaunchError):
    """The parts `parts` run already."""

    def __init__(self, parts: tuple[str, ...], home: Path) -> None:
        self.parts, self.home = parts, home
        super().__init__(
            f"already up in '{home}': {', '.join(parts)}; "
            "see it with 'kvasir backend status', stop it with 'kvasir backend down'"
        )


class LaunchBusy(LaunchError):
    """Another `up` or `down` holds the lock of the same folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        super().__init__(
            f"another 'kvasir backend up' or 'down' is at work in '{home}'; "
            "wait for it to end, or use another folder with --home"
        )


class PartFailed(LaunchError):
    """`part` ended or was not ready in time; `tail` holds the last lines of its log."""

    def __init__(self, part: str, reason: str, log: Path, tail: tuple[str, ...]) -> None:
        self.part, self.reason, self.log, self.tail = part, reason, log, tail
        lines = "\n".join(f"  | {line}" for line in tail) or "  | (empty)"
        super().__init__(f"{part} {reason}; last lines of {log}:\n{lines}")


class StopFailed(LaunchError):
    """Processes outlived SIGKILL."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self.pids = pids
        listed = ", ".join(str(pid) for pid in pids)
        super().__init__(
            f"still running after SIGKILL: {listed}; they wait for the kernel (a disk or a GPU driver), "
            "run 'kvasir backend down' again later"
        )


def _next_step(engine: str, status: int) -> str:
    if status in (401, 403):
        return f"set the api_key of [engines.{engine}]"
    if status == 404:
        return f"check model and api_base of [engines.{engine}]: the engine may serve another name"
    if status == 429:
        return "wait and ask again"
    if status >= 500:
        return "ask again, and if it stays so, read the engine's log"
    return "change the request"
