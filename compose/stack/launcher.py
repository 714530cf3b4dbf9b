"""Starts one server and waits until it answers a client."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from compose.stack.errors import DidNotStart, NotReady
from compose.stack.folder import Started
from compose.stack.process import find, launch
from compose.stack.steps import tail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compose.stack.folder import StackFolder
    from compose.stack.obtain import Program
    from compose.stack.server import Server

POLL_S = 0.1
TRIES = 1200  # two minutes and what the probes themselves take: a JVM on a crowded machine


def start(
    server: Server[Any], program: Program, endpoint: object, folder: StackFolder, env: Mapping[str, str]
) -> Started:
    """Launches the program, its earlier output kept aside; the folder remembers the process."""
    home, log = folder.of(server.name), folder.log(server.name)
    argv = server.prepare(program, endpoint, home, env)
    with suppress(FileNotFoundError):
        log.replace(log.with_name("log.before"))
    started = Started(launch(argv, home=home, log=log, env=env), program.version, program.source)
    folder.save_started(server.name, started)
    return started


def wait_until_ready(server: Server[Any], endpoint: object, folder: StackFolder) -> None:
    """Polls a real client's first steps; raises DidNotStart when the process ends or never answers."""
    answer = "nothing yet"
    for _ in range(TRIES):
        try:
            server.probe(endpoint)
        except NotReady as error:
            answer = str(error)
        else:
            server.settle(endpoint)
            return
        _expect_alive(server, folder)
        time.sleep(POLL_S)
    raise DidNotStart(f"{server.name} runs and does not answer ({answer}); {_log_end(server, folder)}")


def _expect_alive(server: Server[Any], folder: StackFolder) -> None:
    started = folder.started(server.name)
    if started is None or find(started.process) is None:
        raise DidNotStart(f"{server.name} ended while it started; {_log_end(server, folder)}")


def _log_end(server: Server[Any], folder: StackFolder) -> str:
    return f"its log {folder.log(server.name)} ends:\n{tail(folder.log(server.name))}"
