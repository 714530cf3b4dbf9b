"""How many rows of evidence a second `rollout judge` takes: recordings of reference fleets, from their JSON lines to the judgement."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.rollouts.recording import JudgePlan, judge, read_rows
from compose.bench.gate.recorded import json_lines
from compose.bench.gate.run import EVERY_MS
from compose.bench.gate.scenarios import ALPHA, GUARDS
from compose.bench.gate.world import World, evidence, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEED = 11


class JudgeLoad(NamedTuple):
    """So many recordings of this fleet under a harmless release, so that every row is taken; the median of `runs` passes."""

    recordings: int = 40
    world: World = World()
    runs: int = 5


def measure(load: JudgeLoad) -> int:
    """Rows a second of one process; the files' bytes are in memory, as after the first read of a disk."""
    recordings = [_recording(load.world, number) for number in range(load.recordings)]
    _rows_per_s(recordings[:1])
    return round(statistics.median(_rows_per_s(recordings) for _ in range(load.runs)))


def _rows_per_s(recordings: Sequence[bytes]) -> float:
    plan = JudgePlan(guards=GUARDS, alpha=ALPHA)
    start = time.perf_counter()
    rows = sum(judge(plan, read_rows(lines), every_ms=EVERY_MS).rows for lines in recordings)
    return rows / (time.perf_counter() - start)


def _recording(world: World, number: int) -> bytes:
    chance = np.random.default_rng([_SEED, number])
    return json_lines(evidence(world, tell(world, chance), chance), GUARDS)
