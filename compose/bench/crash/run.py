"""Many seeds on all cores, and what they came to."""

from __future__ import annotations

import logging
import os
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from compose.bench.crash.machine import CrashingFiles
from compose.bench.crash.phases import Phase
from compose.bench.crash.story import Outcome, tell
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CHUNK = 10
LEAST_SHARE = 0.05
"""What each phase must have of the crash points, in a run that is long enough to say so."""
MOST_SHOWN = 20


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A seed to be looked at: `tidegate bench crash --seed N` tells it again."""

    seed: int
    complaints: list[str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to; samples are counted once each. `crash_points` by phase.

    `untold`: what every story must have and some had not, by how many.
    """

    seeds: int
    acknowledged: int
    lost: int
    duplicated: int
    ledger_mismatches: int
    dropped: int
    crash_points: dict[str, int]
    untold: dict[str, int]
    failing_seeds: list[int]
    failures: list[Failure]

    def good(self) -> bool:
        """Whether everything that was acknowledged is counted once, and the accounts balance."""
        return not (self.lost or self.duplicated or self.ledger_mismatches or self.failing_seeds)

    def rarest(self) -> float:
        """The smallest share of the crash points that a phase has."""
        return min(self.crash_points.values()) / max(1, sum(self.crash_points.values()))


def run(seeds: Sequence[int], workers: int) -> Iterator[Outcome]:
    """Tell all seeds, in whatever order they end."""
    chunks = [seeds[first : first + CHUNK] for first in range(0, len(seeds), CHUNK)]
    if workers < 2 or len(chunks) < 2:  # noqa: PLR2004 - one of anything needs no helpers
        _prepare()
        for seed in seeds:
            yield from _tell_all([seed])
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare_quietly) as pool:
        for outcomes in pool.map(_tell_all, chunks):
            yield from outcomes


def cores() -> int:
    """How many processes are worth having."""
    return len(os.sched_getaffinity(0))


def report(outcomes: Iterable[Outcome]) -> Report:
    """The sum of all outcomes."""
    points, untold = Counter({phase.value: 0 for phase in Phase}), Counter[str]()
    seeds = acknowledged = lost = duplicated = mismatches = dropped = 0
    failures = []
    for outcome in outcomes:
        judgement = outcome.judgement
        seeds, acknowledged = seeds + 1, acknowledged + outcome.acknowledged
        lost, duplicated = lost + judgement.lost, duplicated + judgement.duplicated
        mismatches, dropped = mismatches + judgement.ledger_mismatches, dropped + judgement.dropped
        points.update(outcome.crashes)
        untold.update(outcome.untold)
        if judgement.wrong():
            failures.append(Failure(seed=outcome.seed, complaints=judgement.complaints[:MOST_SHOWN]))
    return Report(
        seeds=seeds,
        acknowledged=acknowledged,
        lost=lost,
        duplicated=duplicated,
        ledger_mismatches=mismatches,
        dropped=dropped,
        crash_points=dict(points),
        untold=dict(untold),
        failing_seeds=[failure.seed for failure in failures],
        failures=failures[:MOST_SHOWN],
    )


class _Tools(NamedTuple):
    files: CrashingFiles
    telemetry: Telemetry


_tools: list[_Tools] = []


def _prepare() -> None:
    # SQLite knows a file system by its name, in the whole process.
    if not _tools:
        _tools.append(_Tools(CrashingFiles(), Telemetry("crash")))


def _prepare_quietly() -> None:
    # Ten thousand gateways have much to tell; who wants to hear one asks for its seed.
    logging.disable(logging.WARNING)
    _prepare()


def _scratch() -> str | None:
    # What a machine keeps of its files is in the engine's account; the files themselves need no disk.
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


def _tell_all(seeds: Sequence[int]) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="tidegate-crash-", dir=_scratch()) as scratch:
        return [tell(seed, Path(scratch) / str(seed), *_tools[0]) for seed in seeds]
