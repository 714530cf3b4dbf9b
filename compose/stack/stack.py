"""Kafka, Mosquitto, InfluxDB, Alertmanager and Prometheus as child processes on loopback: up, status, down."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec.structs import replace

from compose.stack.alertmanager import Alertmanager
from compose.stack.endpoints import Endpoints
from compose.stack.errors import NotReady, StackError
from compose.stack.folder import Plan, StackFolder
from compose.stack.influxdb import Influxdb
from compose.stack.kafka import Kafka
from compose.stack.launcher import start, wait_until_ready
from compose.stack.mosquitto import Mosquitto
from compose.stack.obtain import obtain
from compose.stack.peers import PEERS
from compose.stack.ports import free_port, is_free
from compose.stack.process import end, find
from compose.stack.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from compose.stack.obtain import Program
    from compose.stack.server import Server
    from compose.stack.steps import Say

SERVERS: dict[str, Server[Any]] = {
    kind.name: kind for kind in (Kafka(), Mosquitto(), Influxdb(), Alertmanager(), Prometheus())
}
ALL = tuple(SERVERS)


class ServerStatus(msgspec.Struct, frozen=True):
    """One server as it is now; `state` is "foreign" for one that somebody else runs and that answers."""

    name: str
    state: Literal["running", "foreign", "silent", "stopped"]
    address: str
    pid: int | None
    version: str
    detail: str


def to_stderr(line: str) -> None:
    """Says something to whoever watches, beside the output."""
    print(line, file=sys.stderr, flush=True)


def obtain_programs(servers: Iterable[str] = ALL, say: Say = to_stderr) -> dict[str, Program | None]:
    """Programs of the servers that the environment does not name as running, obtained if need be. Raises CannotObtain.

    None stands for a running server of somebody else. The peers are obtained only when they are named.
    """
    env, asked = os.environ, set(servers)
    chosen = [SERVERS[name] for name in known(asked - PEERS.keys())]
    programs = {server.name: None if server.named(env) else server.obtain(env, say) for server in chosen}
    return programs | {name: obtain(recipe, env, say) for name, recipe in PEERS.items() if name in asked}


def up(folder: Path, servers: Iterable[str] = ALL, say: Say = to_stderr) -> Endpoints:
    """Brings servers up and waits until each answers; what runs already is left alone. Raises StackError.

    The endpoints name all servers: of those not asked for, where they will be.
    """
    names = known(servers)
    stack = StackFolder(folder).made()
    with stack.locked(say):
        plan = _with_own_ports(_planned(stack), [name for name in names if not _running(stack, name)])
        plan, endpoints = _with_foreign(plan, os.environ)
        stack.save_plan(plan)
        endpoints.save(stack.endpoints)
        ours = [name for name in names if name not in plan.foreign]
        _start_missing(stack, ours, endpoints, say)
        for name in names:
            _await(stack, name, plan, endpoints)
    return endpoints


def down(folder: Path, servers: Iterable[str] = ALL, how: signal.Signals | None = None) -> list[str]:
    """Ends the servers that this folder started, each with its own signal unless `how` is given; waits for their end.

    Returns the names of those that were running.
    """
    names = known(servers)
    stack = StackFolder(folder)
    if not stack.root.is_dir():
        return []
    with stack.locked(to_stderr):
        return [name for name in names if _end(stack, name, how or SERVERS[name].stop_signal)]


def kill(folder: Path, servers: Iterable[str]) -> None:
    """Ends servers as a power cut would (SIGKILL); `up` starts them again with the same ports and data."""
    down(folder, servers, signal.SIGKILL)


def status(folder: Path) -> list[ServerStatus]:
    """Every server of a folder, asked over its own protocol."""
    stack = StackFolder(folder)
    plan = stack.plan()
    if plan is None:
        return [ServerStatus(name, "stopped", "", None, "", "never started here") for name in ALL]
    endpoints = Endpoints.load(stack.endpoints)
    return [_status(stack, SERVERS[name], plan, getattr(endpoints, SERVERS[name].field)) for name in ALL]


def pid_of(folder: Path, name: str) -> int | None:
    """The process of a server of this folder; None when it does not run or somebody else runs it."""
    return _pid(StackFolder(folder), *known([name]))


@contextmanager
def running_stack(folder: Path, servers: Iterable[str] = ALL, say: Say = to_stderr) -> Iterator[Endpoints]:
    """Owns the servers for the length of a block; all of the folder's servers are ended at its exit."""
    try:
        yield up(folder, servers, say)
    finally:
        down(folder)


def known(servers: Iterable[str]) -> list[str]:
    """The names in the order of starting; raises StackError for one that is none."""
    asked = set(servers)
    if strangers := asked - SERVERS.keys():
        raise StackError(f"no server is called {', '.join(sorted(strangers))}; there are {', '.join(ALL)}")
    return [name for name in ALL if name in asked]


def _planned(stack: StackFolder) -> Plan:
    found = stack.plan()
    own: dict[str, Any] = {name: getattr(found.own, name) for name in Endpoints.__struct_fields__} if found else {}
    for server in SERVERS.values():
        if own.get(server.field) is None:  # a plan from before this server was among them does not name it
            own[server.field] = server.planned(free_port())
    return Plan(Endpoints(**own), found.foreign if found else ())


def _with_own_ports(plan: Plan, stopped: list[str]) -> Plan:
    """Moves servers that are to be started away from ports which others have taken since."""
    own = plan.own
    for server in (SERVERS[name] for name in stopped):
        endpoint = getattr(own, server.field)
        if not is_free(server.port(endpoint)):
            own = replace(own, **{server.field: server.moved(endpoint, free_port())})
    return replace(plan, own=own)


def _with_foreign(plan: Plan, env: Mapping[str, str]) -> tuple[Plan, Endpoints]:
    named = {server: server.named(env) for server in SERVERS.values()}
    foreign = {server.field: endpoint for server, endpoint in named.items() if endpoint is not None}
    names = tuple(server.name for server, endpoint in named.items() if endpoint is not None)
    return replace(plan, foreign=names), replace(plan.own, **foreign)


def _start_missing(stack: StackFolder, names: list[str], endpoints: Endpoints, say: Say) -> None:
    """Starts side by side what does not run."""
    stopped = [name for name in names if not _running(stack, name)]
    programs = {name: SERVERS[name].obtain(os.environ, say) for name in stopped}
    for name, program in programs.items():
        server = SERVERS[name]
        endpoint = getattr(endpoints, server.field)
        say(f"{name}: starting {program.version} ({program.source}) at {server.address(endpoint)}")
        start(server, program, endpoint, stack, os.environ)


def _await(stack: StackFolder, name: str, plan: Plan, endpoints: Endpoints) -> None:
    server = SERVERS[name]
    endpoint = getattr(endpoints, server.field)
    if name in plan.foreign:
        server.probe(endpoint)
    else:
        wait_until_ready(server, endpoint, stack)


def _running(stack: StackFolder, name: str) -> bool:
    return _pid(stack, name) is not None


def _pid(stack: StackFolder, name: str) -> int | None:
    started = stack.started(name)
    process = find(started.process) if started else None
    return process.pid if process else None


def _end(stack: StackFolder, name: str, how: signal.Signals) -> bool:
    started = stack.started(name)
    ended = started is not None and end(started.process, how)
    stack.forget_started(name)
    return ended


def _status(stack: StackFolder, server: Server[Any], plan: Plan, endpoint: object) -> ServerStatus:
    if endpoint is None:
        return ServerStatus(server.name, "stopped", "", None, "", "never started here")
    foreign = server.name in plan.foreign
    started = None if foreign else stack.started(server.name)
    process = find(started.process) if started else None
    address, version = server.address(endpoint), started.version if started else ""
    pid = process.pid if process else None
    if not foreign and process is None:
        return ServerStatus(server.name, "stopped", address, None, "", f"data in {stack.root / server.name}")
    try:
        told = server.probe(endpoint)
    except NotReady as error:
        return ServerStatus(server.name, "silent", address, pid, version, str(error))
    source = started.source if started else "named by the environment"
    return ServerStatus(server.name, "foreign" if foreign else "running", address, pid, told or version, source)
