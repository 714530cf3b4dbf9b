"""The four workers as real processes, each from a TOML file of its own, for tests that start, ask, kill and stop them.

`Commands` runs `python -m compose.cli …`; `Nursery` forks the same command line from a process that has everything
imported, so that a life begins at once (`python -m tests.process_kit` is that process).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import msgspec
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).parents[1]
DEADLINE_S = 90.0
STOP_S = 10.0
LOOK_S = 0.1


class Launcher(Protocol):
    """Starts `tidegate` with arguments and knows how a process of its own ended."""

    def start(self, arguments: list[str], output: Path) -> int: ...

    def wait(self, pid: int) -> int: ...

    def close(self) -> None: ...


class Commands:
    """Processes as anybody starts them."""

    def __init__(self) -> None:
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, arguments: list[str], output: Path) -> int:
        with output.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "compose.cli", *arguments],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[process.pid] = process
        return process.pid

    def wait(self, pid: int) -> int:
        return self._running.pop(pid).wait(DEADLINE_S)

    def close(self) -> None:
        for pid in list(self._running):
            os.kill(pid, signal.SIGKILL)
            self.wait(pid)


class Nursery:
    """Processes forked from one that has imported everything."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._asking = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.process_kit"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def start(self, arguments: list[str], output: Path) -> int:
        pid = self._ask({"arguments": arguments, "output": str(output)})
        self._running.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        self._running.discard(pid)
        return self._ask({"wait": pid})

    def close(self) -> None:
        for pid in list(self._running):
            os.kill(pid, signal.SIGKILL)
            self.wait(pid)

    def end(self) -> None:
        self.close()
        self._process.communicate()

    def _ask(self, question: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._asking:
            self._process.stdin.write(msgspec.json.encode(question) + b"\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


@cache
def nursery() -> Nursery:
    """One for all tests: what takes long is done once."""
    made = Nursery()
    atexit.register(made.end)
    return made


def environment() -> dict[str, str]:
    # One thread of linear algebra is enough for anybody here, and threads do not survive a fork.
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1"}


class Worker:
    """One of the four: `kind` is edge, ingest, analytics or api; `address` is where /readyz and /metrics are."""

    def __init__(self, launcher: Launcher, kind: str, config: Path, address: str, token: str = "") -> None:
        self.kind, self.config, self.address = kind, config, address
        self.output = config.with_suffix(".log")
        self.pid = 0
        self.lives = 0
        self._launcher, self._token = launcher, token

    def start(self) -> None:
        assert not self.pid
        self.pid = self._launcher.start([self.kind, "run", str(self.config)], self.output)
        self.lives += 1

    def kill(self) -> None:
        """SIGKILL; blocks until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        code = self._launcher.wait(self.pid)
        self.pid = 0
        assert code == -signal.SIGKILL, self.told()

    async def stop(self) -> float:
        """SIGTERM: it must end by itself, with exit code 0, within ten seconds; returns how many it took."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        code = await asyncio.to_thread(self._launcher.wait, self.pid)
        self.pid = 0
        assert code == 0, self.told()
        return time.monotonic() - began

    async def reasons(self) -> dict[str, str] | None:
        """What it waits for, by part; empty when it is ready, None while it does not answer."""
        answer = await self._get("/readyz")
        if answer is None:
            return None
        body = answer.json()
        assert (answer.status_code, body["ready"]) in {(200, True), (503, False)}
        return dict(body["reasons"])

    async def ready(self) -> None:
        async def is_ready() -> bool:
            return await self.reasons() == {}

        await until(is_ready, f"{self.kind} is ready", self.told)

    async def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every value of /metrics by name and sorted labels."""
        answer = await self._get("/metrics")
        assert answer is not None
        assert answer.status_code == httpx.codes.OK
        families = text_string_to_metric_families(answer.text)
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}

    def told(self) -> str:
        """Everything it has written."""
        return self.output.read_text() if self.output.exists() else ""

    async def _get(self, path: str) -> httpx.Response | None:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
            try:
                return await client.get(self.address + path, headers=headers)
            except httpx.TransportError:
                return None


async def until(
    reached: Callable[[], Awaitable[bool]],
    what: str,
    explain: Callable[[], object] = lambda: "",
    within_s: float = DEADLINE_S,
) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + within_s
    while not await reached():
        assert time.monotonic() < deadline, f"not seen within {within_s:.0f} s: {what}\n{explain()}"
        await asyncio.sleep(LOOK_S)


async def tidegate(*arguments: str) -> tuple[int, str, str]:
    """A whole command: exit code, stdout, stderr."""
    from compose.cli.main import tidegate as command  # noqa: PLC0415 - this module's own processes load it themselves

    result = await asyncio.to_thread(CliRunner().invoke, command, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def toml(config: msgspec.Struct | dict[str, Any]) -> str:
    """A configuration as a TOML file; what is None is left out."""
    return "".join(f"{name} = {_value(value)}\n" for name, value in _given(msgspec.to_builtins(config)))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_value(inner)}" for name, inner in _given(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    if isinstance(value, float):
        return repr(value)
    return msgspec.json.encode(value).decode()  # texts, whole numbers and truth are written alike in JSON and TOML


def _given(settings: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in settings.items() if value is not None]


def nurse() -> None:
    """Answers a start with the process's id, a wait with its exit code (negative: the signal)."""
    from analytics.service import build_analytics  # noqa: F401, PLC0415 - imported for the children
    from compose.cli import processes  # noqa: F401, PLC0415 - the same
    from compose.cli.main import tidegate as command  # noqa: PLC0415 - the test process needs none of it
    from dashboards.api.service import build_api  # noqa: F401, PLC0415 - the same
    from edge_aggregator.service import build_edge  # noqa: F401, PLC0415 - the same
    from ingest.door.service import build_ingest  # noqa: F401, PLC0415 - the same
    from ingest.runtime.store.open import open_store  # noqa: F401, PLC0415 - the same

    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line)
        if "wait" in question:
            answer = os.waitstatus_to_exitcode(os.waitpid(question["wait"], 0)[1])
        else:
            answer = os.fork()
            if not answer:
                _become(command, question["arguments"], question["output"])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _become(command: Callable[..., Any], arguments: list[str], output: str) -> None:
    os.setsid()
    log, nothing = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, number)
    code = 1
    try:
        command(arguments, prog_name="tidegate")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    nurse()
