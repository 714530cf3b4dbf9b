"""Fixtures that lend tests a real Kafka, Mosquitto, InfluxDB, Alertmanager, Prometheus and Kubernetes API server, when first asked for.

    async def test_something(kafka: RunningServer[KafkaEndpoint]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.endpoint.bootstrap, ...)
        await asyncio.to_thread(kafka.stop)   # an outage
        await asyncio.to_thread(kafka.start)  # the same port, the same data

One server serves the whole session: use names of your own (topics, client ids, buckets). A server that a test leaves
stopped is started again before the next test. Nothing is skipped: a server that cannot be had fails its tests with
what to install. Programs are obtained after collection, outside of any test's time limit.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from compose.stack.errors import StackError
from compose.stack.peers import CLUSTER
from compose.stack.stack import ALL, SERVERS, down, kill, obtain_programs, pid_of, up
from compose.stack.tools import which
from ingest.runtime.log.kafka import KafkaConfig
from tests.kube_api import KubeApi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compose.stack.endpoints import (
        AlertmanagerEndpoint,
        InfluxEndpoint,
        KafkaEndpoint,
        MqttEndpoint,
        PrometheusEndpoint,
    )

E = TypeVar("E")

PROGRAMS = {name: (name,) for name in ALL} | {"kubernetes": CLUSTER}
"""By fixture: the programs that it needs."""

COMPILED = frozenset({"influxdb", "kubernetes"})
"""Fixtures of servers that a new machine compiles for minutes."""


class RunningServer(Generic[E]):
    """One real server; `endpoint` is where it is. The methods block: from async tests use asyncio.to_thread."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self.endpoint: E = self._up()

    @property
    def folder(self) -> Path:
        """Its own folder: configuration, data and log."""
        return self._folder / self.name

    def start(self) -> None:
        """Starts it unless it runs, and waits until it answers."""
        again = self._up()
        assert again == self.endpoint, f"{self.name} came back elsewhere: its port had been taken meanwhile"

    def stop(self) -> None:
        """Ends it in order and waits for its end."""
        assert down(self._folder, [self.name]), f"{self.name} is not this session's own, or did not run"

    def kill(self) -> None:
        """Ends it as a power cut would."""
        kill(self._folder, [self.name])

    def restart(self) -> None:
        """`stop`, then `start`."""
        self.stop()
        self.start()

    @property
    def foreign(self) -> bool:
        """Whether the environment names it, so that no test can stop it."""
        return SERVERS[self.name].named(os.environ) is not None

    @property
    def pid(self) -> int | None:
        """Its process, None for a foreign or stopped one."""
        return pid_of(self._folder, self.name)

    def _up(self) -> E:
        endpoint: E = getattr(up(self._folder, [self.name], say=lambda _: None), SERVERS[self.name].field)
        return endpoint


class Lent:
    """The servers of one test session."""

    def __init__(self, folder: Path, refused: dict[str, str]) -> None:
        self._folder = folder
        self._refused = refused
        self._running: dict[str, RunningServer[object]] = {}

    def server(self, name: str) -> RunningServer[object]:
        if name in self._refused:
            pytest.fail(self._refused[name], pytrace=False)
        if name not in self._running:
            try:
                self._running[name] = RunningServer(name, self._folder)
            except StackError as error:
                self._refused[name] = str(error)
                pytest.fail(str(error), pytrace=False)
        return self._running[name]

    def mend(self) -> None:
        for server in self._running.values():
            if server.pid is None and not server.foreign:
                server.start()

    def end(self) -> None:
        self._running.clear()
        down(self._folder)


refused_key = pytest.StashKey[dict[str, str]]()
lent_key = pytest.StashKey[Lent]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Obtains the programs of the servers that the chosen tests ask for; a refusal waits for the fixture to tell it."""
    refused = session.config.stash.setdefault(refused_key, {})
    if session.config.option.collectonly or session.config.option.setupplan:
        return
    for name in wanted_servers(session.items):
        try:
            obtain_programs(PROGRAMS[name], lambda line: tell(session.config, line))
        except StackError as error:
            refused[name] = str(error)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what has to wait for a compiler: other tests can go on meanwhile."""
    for item in items:
        if COMPILED & servers_of(item):
            item.add_marker("compiled")


def wanted_servers(items: list[pytest.Item]) -> list[str]:
    """All servers that some of these tests need."""
    wanted = set().union(*map(servers_of, items))
    return [name for name in PROGRAMS if name in wanted]


def servers_of(item: pytest.Item) -> set[str]:
    """Servers named by fixtures; without one, those that the marker names; all of them where it names nothing."""
    marker = item.get_closest_marker("servers")
    fixtures = PROGRAMS.keys() & set(getattr(item, "fixturenames", ()))
    if fixtures or marker is None:
        return fixtures
    return PROGRAMS.keys() & set(marker.args) if marker.args else set(ALL)


def tell(config: pytest.Config, line: str) -> None:
    """Progress in the terminal, past the capturing of output."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(line)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """An outage ends with the test that made it."""
    lent = item.config.stash.get(lent_key, None)
    if lent is not None:
        lent.mend()


@pytest.fixture(scope="session")
def lent_servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lent]:
    refused = request.config.stash.setdefault(refused_key, {})
    lent = request.config.stash[lent_key] = Lent(tmp_path_factory.mktemp("servers"), refused)
    try:
        yield lent
    finally:
        lent.end()


@pytest.fixture(scope="session")
def kafka(lent_servers: Lent) -> RunningServer[KafkaEndpoint]:
    return lent_servers.server("kafka")  # type: ignore[return-value]  # the name decides the endpoint's type


@pytest.fixture
def kafka_config(kafka: RunningServer[KafkaEndpoint], tmp_path: Path) -> KafkaConfig:
    endpoint, password_file = kafka.endpoint, tmp_path / "kafka-password"
    password_file.touch(0o600)
    password_file.write_text(endpoint.password)
    return KafkaConfig(
        bootstrap=endpoint.bootstrap,
        username=endpoint.username,
        password_file=str(password_file) if endpoint.username else "",
        mechanism=endpoint.mechanism,
        session_timeout_s=15.0,  # a member that a crowded machine keeps from answering for longer counts as dead
    )


@pytest.fixture(scope="session")
def mosquitto(lent_servers: Lent) -> RunningServer[MqttEndpoint]:
    return lent_servers.server("mosquitto")  # type: ignore[return-value]  # the name decides the endpoint's type


@pytest.fixture(scope="session")
def influxdb(lent_servers: Lent) -> RunningServer[InfluxEndpoint]:
    return lent_servers.server("influxdb")  # type: ignore[return-value]  # the name decides the endpoint's type


@pytest.fixture(scope="session")
def alertmanager(lent_servers: Lent) -> RunningServer[AlertmanagerEndpoint]:
    return lent_servers.server("alertmanager")  # type: ignore[return-value]  # the name decides the endpoint's type


@pytest.fixture(scope="session")
def prometheus(lent_servers: Lent) -> RunningServer[PrometheusEndpoint]:
    return lent_servers.server("prometheus")  # type: ignore[return-value]  # the name decides the endpoint's type


@pytest.fixture(scope="session")
def promtool(prometheus: RunningServer[PrometheusEndpoint]) -> Path:
    """The tool that comes with Prometheus, which judges rules and expositions."""
    program = obtain_programs([prometheus.name], lambda _: None)[prometheus.name]
    beside = program.path.resolve().with_name("promtool") if program else None
    found = beside if beside and beside.exists() else which("promtool", os.environ)
    assert found, "there is no promtool beside Prometheus or on PATH; both are in Debian's package prometheus"
    return found


@pytest.fixture(scope="session")
def kubernetes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    """One API server for the session: use namespaces of your own."""
    if refusal := request.config.stash.get(refused_key, {}).get("kubernetes"):
        pytest.fail(refusal, pytrace=False)
    api = KubeApi(tmp_path_factory.mktemp("kubernetes"))
    try:
        api.start()
        yield api
    finally:
        api.stop()
