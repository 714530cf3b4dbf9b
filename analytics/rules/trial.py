"""Trying rules out: example series and events, and the alerts that are expected of them, in the manner of promtool."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.alerts.book import AlertBook
from analytics.alerts.condition import Condition
from analytics.alerts.config import FlapConfig
from analytics.alerts.ruled import SOURCES, Ruled
from analytics.rules.file import KINDS
from analytics.rules.kinds import SeriesRule
from analytics.rules.partition import Partition
from analytics.rules.spans import span_ms
from analytics.rules.stage import condition_event
from ingest.contract.batch import COLUMNS, DeviceRow, MetricRow, Origin, RollupBatch
from ingest.contract.events import AlertState, GatewayEvent
from ingest.contract.ledger import GENESIS, LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.alerts.book import Alert
    from analytics.rules.kinds import Rule

T0 = 1_700_000_000_000
TENANT = "test"
MOST_WINDOWS = 100_000
_VALUE = r"-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?"
_RUN = re.compile(rf"(?P<first>_|{_VALUE})(?:(?P<step>[+-](?:\d+\.?\d*|\.\d+)))?(?:x(?P<times>\d+))?")


class ExampleSeries(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One series, a value for each window: `1 2x3 5+1x10 _ _x4`, where `a+bxn` is a, a+b, … a+n·b and `_` is no window."""

    metric: str
    values: str
    device: str = "device-1"
    site: str = "site-1"
    firmware: str = ""
    hardware: str = ""
    group: str = ""
    labels: dict[str, str] = {}


class ExampleEvent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the rest of the system says at a moment: for rules of `kind`. `about`: firmware, hardware, group, detector."""

    at: str
    kind: str
    labels: dict[str, str] = {}
    about: dict[str, str] = {}
    numbers: dict[str, float] = {}
    holds: bool = True


class ExpectedAlert(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An alert: those of its labels and annotations that are to be looked at."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    severity: str = ""
    state: AlertState = AlertState.FIRING


class Expectation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All alerts of a rule at a moment, `at` after the beginning."""

    at: str
    rule: str
    alerts: list[ExpectedAlert] = []


class Trial(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One story and what is expected of it."""

    name: str
    width: str = "10s"
    series: list[ExampleSeries] = []
    events: list[ExampleEvent] = []
    expect: list[Expectation] = []


class TrialFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file of trials; `rules` is the path of the file of rules, from where this one is."""

    rules: str
    tests: list[Trial]


class Failure(NamedTuple):
    """What was not as expected."""

    trial: str
    at: str
    rule: str
    told: str


def values(text: str) -> list[float | None]:
    """The values that a text stands for. Raises ValueError."""
    found: list[float | None] = []
    for word in text.split():
        run = _RUN.fullmatch(word)
        if run is None or (run["first"] == "_" and run["step"]):
            raise ValueError(f"{word!r} is no value, expected for example 7, 7x3, 7+0.5x10, _ or _x4")
        times = int(run["times"] or 0)
        if len(found) + times > MOST_WINDOWS:
            raise ValueError(f"{text[:40]!r} stands for more than {MOST_WINDOWS} values")
        if run["first"] == "_":
            found += [None] * max(1, times)
        else:
            step = float(run["step"] or 0)
            found += [float(run["first"]) + step * n for n in range(times + 1)]
    return found


def run_trial(trial: Trial, rules: list[Rule]) -> list[Failure]:
    """Play the story. Raises ValueError for what cannot be played."""
    world = _World(trial, rules)
    failures: list[Failure] = []
    for now in range(world.width, world.ends + 1, world.width):
        world.step(now)
        for expected in trial.expect:
            if now <= span_ms(expected.at) < now + world.width:
                failures += world.compare(expected)
    return failures


class _World:
    def __init__(self, trial: Trial, rules: list[Rule]) -> None:
        self._trial, self._ruled = trial, Ruled(rules)
        self._known = {rule.name for rule in rules}
        self.width = span_ms(trial.width)
        if self.width <= 0:
            raise ValueError("width is 0, expected for example 10s")
        self._values = [values(series.values) for series in trial.series]
        moments = [span_ms(at) for at in [e.at for e in trial.events] + [e.at for e in trial.expect]]
        last = max([*moments, self.width * max(map(len, self._values), default=0)], default=0)
        self.ends = -(-last // self.width) * self.width
        if self.ends > MOST_WINDOWS * self.width:
            raise ValueError(f"it lasts more than {MOST_WINDOWS} windows")
        of_series = [rule for rule in rules if isinstance(rule, SeriesRule)]
        self._partition = Partition(of_series, 1000 + len(trial.series), 1 << 40)
        # What flaps is damped in operation; here each alert is to be seen as its rule says.
        self._book = AlertBook(self._ruled.configs(), self._ruled.annotations, 1 << 40, FlapConfig(times=0))

    def step(self, now: int) -> None:
        """One window of all series, and the events up to its end."""
        for batch in self._batches(now // self.width - 1, T0 + now):
            for finding in self._partition.take(batch):
                condition = self._ruled.of_series(condition_event(self._partition, finding), "")
                if condition is not None:
                    self._book.observe(condition, T0 + now)
        for event in self._trial.events:
            if now - self.width < span_ms(event.at) <= now or (now == self.width and span_ms(event.at) == 0):
                for condition in self._conditions(event):
                    self._book.observe(condition, T0 + now)
        self._book.tick(T0 + now)

    def compare(self, expected: Expectation) -> Iterator[Failure]:
        """What is not as expected now."""
        if expected.rule not in self._known:
            yield self._failure(expected, "there is no such rule")
            return
        found = [alert for alert in self._book.alerts.values() if alert.name == expected.rule]
        wanted = {alert.state for alert in expected.alerts} | {AlertState.FIRING}
        found = [alert for alert in found if alert.life.state in wanted]
        for one in expected.alerts:
            match = next((alert for alert in found if not self._differences(one, alert)), None)
            if match is not None:
                found.remove(match)
                continue
            close = min((self._differences(one, alert) for alert in found), key=len, default=[])
            yield self._failure(expected, f"expected {_told(one.labels)}, found {'; '.join(close) or 'no such alert'}")
        for alert in found:
            yield self._failure(expected, f"did not expect {_told(alert.labels)}")

    def _differences(self, one: ExpectedAlert, alert: Alert) -> list[str]:
        annotations = self._ruled.annotations(alert)
        pairs = [(f"label {name}", text, alert.labels.get(name, "")) for name, text in one.labels.items()]
        pairs += [(f"annotation {name}", text, annotations.get(name, "")) for name, text in one.annotations.items()]
        pairs += [("severity", one.severity or alert.severity, alert.severity), ("state", one.state, alert.life.state)]
        return [f"{name} {given!r} instead of {text!r}" for name, text, given in pairs if text != given]

    def _failure(self, expected: Expectation, told: str) -> Failure:
        return Failure(self._trial.name, expected.at, expected.rule, told)

    def _conditions(self, event: ExampleEvent) -> Iterator[Condition]:
        if event.kind == "pipeline":
            yield from self._ruled.of_heartbeat(_heartbeat(event), "", self._book.holds)
        elif KINDS.get(event.kind) in SOURCES:
            source = Condition(
                rule=SOURCES[KINDS[event.kind]],
                tenant=TENANT,
                labels=event.labels,
                active=event.holds,
                numbers={"score": 1.0} | event.numbers,
                about=event.about,
            )
            yield from self._ruled.derived(source)
        else:
            raise ValueError(f"events of kind {event.kind!r} cannot be told; rules about series are shown series")

    def _batches(self, window: int, end: int) -> Iterator[RollupBatch]:
        for site in sorted({series.site for series in self._trial.series}):
            rows = [
                (series, given[window])
                for series, given in zip(self._trial.series, self._values, strict=True)
                if series.site == site and window < len(given) and given[window] is not None
            ]
            yield _batch(site, [(series, value) for series, value in rows if value is not None], end, self.width)


def _batch(site: str, rows: list[tuple[ExampleSeries, float]], end: int, width: int) -> RollupBatch:
    # The gateway itself is heard in every window, so that who says nothing is absent.
    shown = [*rows, (ExampleSeries(metric="tidegate_heard", values="", device="gateway"), 0.0)]
    devices = list(dict.fromkeys(DeviceRow(s.device, s.firmware, s.hardware, s.group) for s, _ in shown))
    metrics = list(dict.fromkeys(MetricRow(s.metric, labels=tuple(sorted(s.labels.items()))) for s, _ in shown))
    of_device = {device: number for number, device in enumerate(devices)}
    of_metric = {metric: number for number, metric in enumerate(metrics)}
    value = [given for _, given in shown]
    columns = {
        "device": [of_device[DeviceRow(s.device, s.firmware, s.hardware, s.group)] for s, _ in shown],
        "metric": [of_metric[MetricRow(s.metric, labels=tuple(sorted(s.labels.items())))] for s, _ in shown],
        "start": [end - width] * len(shown),
        "width": [width] * len(shown),
        "count": [1] * len(shown),
        "sum": value,
        "sumsq": [one * one for one in value],
        "min": value,
        "max": value,
        "last": value,
        "revision": [0] * len(shown),
    }
    return RollupBatch(
        origin=Origin(TENANT, site, "gateway", "boot"),
        seq=1,
        created=end,
        historical=False,
        devices=devices,
        metrics=metrics,
        columns={name: np.array(column, COLUMNS[name]) for name, column in columns.items()},
        ledger=_LEDGER,
    )


_LEDGER = LedgerEntry(
    seq=1, received=0, rolled_up=0, duplicate=0, rejected={}, dropped={}, open=0, net=0, previous=GENESIS
)


def _heartbeat(event: ExampleEvent) -> GatewayEvent:
    numbers = event.numbers
    return GatewayEvent(
        tenant=TENANT,
        site=event.labels.get("site", "site-1"),
        gateway=event.labels.get("gateway", "gateway"),
        at=T0 + span_ms(event.at),
        devices=1000,
        silent=round(1000 * numbers.get("silent_share", 0.0)),
        cut_off=bool(numbers.get("cut_off", 0.0)),
        backlog_bytes=round(numbers.get("backlog_bytes", 0.0)),
        backlog_from=T0 + span_ms(event.at) - round(1000 * numbers["backlog_s"]) if "backlog_s" in numbers else 0,
    )


def _told(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"
