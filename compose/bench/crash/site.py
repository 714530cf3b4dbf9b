"""A small site: devices, a gateway whose power can go, a link that can go, and the centre."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from typing import TYPE_CHECKING

from compose.bench.crash.centre import Centre
from compose.bench.crash.devices import by_class
from compose.bench.crash.disk import Loss
from compose.bench.crash.gateway import ROOMY_OUTBOX, Gateway
from compose.bench.crash.machine import Machine, PowerCutError
from compose.bench.crash.oracle import unlike
from compose.bench.crash.phases import Activity, Phase

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from compose.bench.crash.devices import Fleet
    from compose.bench.crash.machine import CrashingFiles
    from compose.bench.crash.phases import CrashPoint
    from edge_aggregator.ledger import Totals
    from ingest.runtime.telemetry import Telemetry

KEPT = (1.0, 0.0, 0.5, 0.5, 0.9)
"""Chances of an unsynced piece to be on the disk: the process was killed, the page cache was dropped, anything between."""
SECTORS = (512, 4096)
LATE_ANSWER = 0.1
"""How often records arrive and the gateway is not told."""


class Site:
    """`points`: where the power goes, one a life. `crashes` counts by phase; `complaints` of what was found at a start."""

    def __init__(
        self,
        folder: Path,
        *,
        fleet: Fleet,
        chance: random.Random,
        files: CrashingFiles,
        telemetry: Telemetry,
        points: Sequence[CrashPoint],
    ) -> None:
        self._folder, self._fleet, self._chance = folder, fleet, chance
        self._files, self._telemetry, self._points = files, telemetry, list(points)
        self._lives = 0
        self._in_doubt, self._received = Counter[str](), Counter[str]()
        self._seen: set[Phase] = set()
        self._outbox_bytes = ROOMY_OUTBOX
        self.centre = Centre()
        self.crashes: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._survives(lambda: self._power_on({}))

    @property
    def totals(self) -> Totals:
        """The gateway's account."""
        return self._gateway.totals

    @property
    def received(self) -> int:
        """How many samples the gateway was given."""
        return self._received.total()

    def untold(self) -> set[str]:
        """What the story has not come to."""
        wanted = {Phase.CHECKPOINT, Phase.ROTATION, Phase.EVICTION, Phase.MERGE} - self._seen - self._machine.seen
        others = {"late revision": self.centre.revised, "degradation": self.centre.degraded}
        return {phase.value for phase in wanted} | {what for what, told in others.items() if not told}

    def commit(self, now: int, *, late: bool = False) -> None:
        """Devices speak, one of them surely of what is long past if `late`, and are acknowledged."""
        said = self._fleet.speak(now, late=late)
        self._in_doubt = by_class((one.device, one.received) for one in said)
        if self._survives(lambda: self._gateway.commit(said, now)):
            self._received += self._in_doubt
            self._in_doubt = Counter()
            self._fleet.acknowledge()
            self._survives(self._gateway.step)

    def flush(self, now: int) -> None:
        """Windows close."""
        self._survives(lambda: self._gateway.flush(now))

    def squeeze(self, now: int, part: float) -> None:
        """Windows close while the outbox may hold but a part of what waits in it: what is old becomes coarser."""
        self._bound_outbox(int(self._gateway.outbox_bytes * part))
        while not self._survives(lambda: self._gateway.flush(now, Activity.DEGRADATION)):
            pass
        self._bound_outbox(ROOMY_OUTBOX)

    def _bound_outbox(self, most_bytes: int) -> None:
        self._outbox_bytes = most_bytes
        self._gateway.bound_outbox(most_bytes)

    def forward(self) -> None:
        """What waits is sent, as long as the link is good."""
        self._survives(self._send)

    def cut_power(self) -> None:
        """The power goes now."""
        self._machine.switch_off()
        self._restart()

    def disarm(self) -> None:
        """The power stays from now on."""
        self._points.clear()
        self._machine.point = None

    def check_classes(self) -> None:
        """In the end each class has what its devices said, and the centre has what it rolled up."""
        classes, windows = self._gateway.classes, self.centre.windows()
        stored = by_class(
            (device, sum(one.samples for one in found.values())) for (device, _), found in windows.items()
        )
        self.complaints += unlike(classes, self.totals)
        for name, expected in (("received", self._received), ("rolled_up", stored)):
            found = Counter({hardware: getattr(counts, name) for hardware, counts in classes.items()})
            if found != expected:
                self.complaints.append(f"classes have {name} {dict(found)}, expected {dict(expected)}")

    def close(self) -> None:
        """The end."""
        self._gateway.close()
        shutil.rmtree(self._folder)

    def _send(self) -> None:
        while waiting := self._gateway.next():
            self.centre.append(one.record for one in waiting)
            if self._chance.random() < LATE_ANSWER:
                self._gateway.returned(waiting)
                return
            self._gateway.sent(waiting)

    def _survives(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except PowerCutError:
            self._restart()
            return False
        return True

    def _restart(self) -> None:
        while self._machine.died is not None:
            self._seen |= self._machine.seen
            self.crashes[self._machine.died.value] += 1
            self._gateway.close()
            loss = Loss(self._chance.choice(KEPT), self._chance.choice(SECTORS))
            with contextlib.suppress(PowerCutError):
                self._power_on(self._machine.left(loss, self._chance))
        self._check_received()

    def _power_on(self, files: dict[str, bytes]) -> None:
        self._lives += 1
        folder = self._folder / str(self._lives)
        self._machine = Machine(folder, files, self._points.pop(0) if self._points else None)
        self._files.machine = self._machine
        with self._machine.doing(Activity.START):
            self._gateway = Gateway(folder / "edge", self._machine, self._telemetry, self._outbox_bytes)

    def _check_received(self) -> None:
        # A commit that was under way is there as a whole or not at all.
        classes = self._gateway.classes
        found = Counter({name: counts.received for name, counts in classes.items()})
        found.subtract(self._received)
        if found not in (Counter[str](), self._in_doubt):
            self.complaints.append(f"{found} samples more than were acknowledged, {self._in_doubt} were in doubt")
        self.complaints += unlike(classes, self.totals)
        self._received.update(found)
        self._in_doubt = Counter()
