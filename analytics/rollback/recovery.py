"""Whether a device that is back on the previous release does as well as the controls do: compared over the same stretch of time.

Event time is cut into blocks of `span_ms`. A device has recovered once over one whole block, begun after it was done, each guarded
statistic was no worse than the worst control's, give or take the guard's margin, and it rebooted no more often than the control
that rebooted most. Controls are those of its site; where none was heard, those of all sites. A device that fails in one block is
looked at again in the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.rollouts.eprocess.soak import margin_of, measures
from analytics.rollouts.statistics import statistics_of, windows_of
from ingest.contract.events import OF_SOAKS, Guard, Worse
from ingest.contract.sketch import quantiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analytics.rollouts.statistics import Found, Statistic
    from ingest.contract.batch import RollupBatch

MOST_BLOCKS = 4
"""Blocks of a device that are kept, the newest ones."""


class Block(msgspec.Struct, array_like=True):
    """A device over one block: by statistic the newest window (ms) and the sums and samples of all; its reboots; whether it was heard.

    A window is taken once and in order of time.
    """

    newest: list[int]
    totals: list[float]
    samples: list[int]
    reboots: int = 0
    heard: bool = False


class Compared(NamedTuple):
    """`problem` says why a device has not recovered, empty when it has; `alone`: there was no control to compare with."""

    problem: str = ""
    alone: bool = False


class Recovery(msgspec.Struct, kw_only=True):
    """The blocks of all devices of a rollback (`site/device`) and of its controls; `span_ms` 0: nothing is compared."""

    guards: list[Guard]
    span_ms: int
    controls: list[str]
    blocks: dict[str, dict[int, Block]]

    def add(self, batch: RollupBatch) -> None:
        """Take a site's windows."""
        if not self.span_ms:
            return
        starts = batch.column("start").tolist()
        names = [f"{batch.origin.site}/{batch.devices[number].device}" for number in batch.column("device").tolist()]
        for name, start in set(zip(names, (start // self.span_ms for start in starts), strict=True)):
            block = self._block(name, start)
            if block is not None:
                block.heard = True
        for place, statistic in enumerate(statistics_of(self.guards)):
            found = _summed(statistic, windows_of(statistic, batch), batch)
            for row, total, samples in zip(
                found.row.tolist(), found.total.tolist(), found.samples.tolist(), strict=True
            ):
                block = self._block(names[row], starts[row] // self.span_ms)
                if block is not None and starts[row] > block.newest[place]:
                    block.newest[place] = starts[row]
                    block.totals[place] += total
                    block.samples[place] += samples

    def rebooted(self, device: str, at: int) -> None:
        """A device rebooted at `at` (ms)."""
        block = self._block(device, at // self.span_ms) if self.span_ms else None
        if block is not None:
            block.reboots += 1

    def compare(self, device: str, done_at: int) -> Compared:
        """How a device that was done at `done_at` (ms) does beside the controls, over its newest whole block since."""
        if not self.span_ms:
            return Compared()
        mine, newest = self.blocks[device], max(self.blocks[device], default=0)
        whole = [
            number
            for number, block in mine.items()
            if done_at <= number * self.span_ms and number < newest and block.heard
        ]
        if not whole:
            return Compared("watched for a while")
        site = device.partition("/")[0]
        for number in sorted(whole, reverse=True):
            beside = self._beside(site, number)
            if beside:
                return Compared(_problem(self.guards, mine[number], beside))
        # Whoever is a block further has surely been read: there is nobody to wait for.
        late = min(whole) + 2 <= newest or not self.controls
        return Compared(alone=True) if late else Compared("the controls' windows have not come yet")

    def _beside(self, site: str, number: int) -> list[Block]:
        heard = {
            name: self.blocks[name][number]
            for name in self.controls
            if number in self.blocks[name] and self.blocks[name][number].heard and max(self.blocks[name]) > number
        }
        return [block for name, block in heard.items() if name.startswith(f"{site}/")] or list(heard.values())

    def _block(self, device: str, number: int) -> Block | None:
        mine = self.blocks.get(device)
        if mine is None:
            return None
        if number not in mine:
            places = len(statistics_of(self.guards))
            mine[number] = Block([-1] * places, [0.0] * places, [0] * places)
            for old in sorted(mine)[:-MOST_BLOCKS]:
                del mine[old]
        return mine.get(number)


def new_recovery(guards: Sequence[Guard], devices: Iterable[str], controls: Sequence[str], span_ms: int) -> Recovery:
    """Nothing was heard yet of these devices (`site/device`) and controls."""
    blocks: dict[str, dict[int, Block]] = {name: {} for name in (*devices, *controls)}
    return Recovery(guards=list(guards), span_ms=span_ms, controls=list(controls), blocks=blocks)


def _problem(guards: Sequence[Guard], mine: Block, beside: Sequence[Block]) -> str:
    most = max(block.reboots for block in beside)
    if mine.reboots > most:
        return f"{mine.reboots} reboots, the controls' most {most}"
    statistics = statistics_of(guards)
    for guard in guards:
        if guard.kind not in OF_SOAKS:
            continue
        place = next(n for n, statistic in enumerate(statistics) if statistic.name == guard.statistic())
        problem = _worse(guard, *(_values(statistics[place], place, blocks) for blocks in ([mine], beside)))
        if problem:
            return problem
    return ""


def _worse(guard: Guard, mine: list[float], beside: list[float]) -> str:
    if not mine or not beside:
        return ""
    values = np.array([*mine, *beside])
    measured, _ = measures(guard, values, np.full(len(values), np.nan))
    apart = [(measured[0] - measured[1:].max(), "highest" if guard.worse is not Worse.LOWER else "lowest")]
    if guard.worse is Worse.DIFFERENT:
        apart.append((measured[1:].min() - measured[0], "lowest"))
    for beyond, which in apart:
        if beyond > margin_of(guard):
            theirs = max(beside) if which == "highest" else min(beside)
            return f"{guard.statistic()} {mine[0]:.3g}, the controls' {which} {theirs:.3g}"
    return ""


def _values(statistic: Statistic, place: int, blocks: Iterable[Block]) -> list[float]:
    return [statistic.of(b.totals[place], b.samples[place]) for b in blocks if b.samples[place]]


def _summed(statistic: Statistic, found: Found, batch: RollupBatch) -> Found:
    # A block's quantile is the mean of its windows' quantiles, each as often as it has samples.
    if statistic.level is None:
        return found
    which = np.searchsorted(batch.details.sketch_row, found.row)
    values = quantiles(batch.details.sketches.take(which), [statistic.level])[:, 0]
    return found._replace(total=values * found.samples)
