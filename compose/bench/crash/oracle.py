"""The judgement: acknowledged samples against the windows that count, in one naive loop, and the account against both."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from compose.bench.crash.centre import Numbers
from ingest.contract.reasons import LedgerFinding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compose.bench.crash.centre import Centre, Window
    from edge_aggregator.ledger import Totals
    from ingest.contract.ledger import ClassCounts

    Series = tuple[str, str]


class Judgement(NamedTuple):
    """What is wrong: nothing, if all are zero and empty.

    `lost` samples are in no window that counts and in no count of what was dropped; `duplicated` are in windows more
    often than they were said; `dropped` were counted as such.
    """

    lost: int
    duplicated: int
    ledger_mismatches: int
    dropped: int
    complaints: list[str]

    def wrong(self) -> bool:
        """Whether anything is."""
        return bool(self.lost or self.duplicated or self.ledger_mismatches or self.complaints)


class _Difference(NamedTuple):
    missing: int
    surplus: int
    complaints: list[str]


def judge(samples: Mapping[Series, Mapping[int, float]], received: int, centre: Centre, totals: Totals) -> Judgement:
    """`samples`: every acknowledged one, value by ts (ms); `received`: how many the gateway was given, all included."""
    windows = centre.windows()
    differences = [_compare(series, samples.get(series, {}), windows.get(series, {})) for series in samples]
    invented = [f"{series} was invented" for series in windows.keys() - samples.keys()]
    missing = sum(difference.missing for difference in differences)
    surplus = sum(difference.surplus for difference in differences) + len(invented)
    dropped = sum(totals.dropped.values())
    stored = sum(numbers.samples for found in windows.values() for numbers in found.values())
    account = _account(centre, totals, received, stored)
    if dropped > missing:
        account.append(f"{dropped} samples are counted as dropped, {missing} are missing: {totals.dropped}")
    complaints = [text for difference in differences for text in difference.complaints]
    return Judgement(
        max(0, missing - dropped),
        surplus,
        len(account),
        dropped,
        [*centre.complaints, *invented, *complaints, *account],
    )


def _compare(series: Series, samples: Mapping[int, float], windows: Mapping[Window, Numbers]) -> _Difference:
    times = sorted(samples)
    missing = surplus = until = 0
    complaints = []
    covered = 0
    for window in sorted(windows):
        found = windows[window]
        first, last = bisect_left(times, window.start), bisect_left(times, window.start + window.width)
        expected = numbers([samples[ts] for ts in times[first:last]])
        if window.start < until:
            complaints.append(f"{series} {window} overlaps the one before it")
            surplus += found.samples
        until = max(until, window.start + window.width)
        covered += last - first
        missing += max(0, expected.samples - found.samples)
        surplus += max(0, found.samples - expected.samples)
        if found.samples == expected.samples and found != expected:
            complaints.append(f"{series} {window} is {found}, expected {expected}")
            surplus += found.samples
    return _Difference(missing + len(times) - covered, surplus, complaints)


def numbers(values: list[float]) -> Numbers:
    """The statistics of a window's values, in the order of their timestamps."""
    if not values:
        return Numbers(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    squares = [value * value for value in values]
    return Numbers(len(values), sum(values), sum(squares), min(values), max(values), values[-1])


def _account(centre: Centre, totals: Totals, received: int, stored: int) -> list[str]:
    wrong = []
    if centre.audit.finding is not LedgerFinding.BALANCED:
        wrong.append(f"the audit finds {centre.audit.finding} at {centre.audit.breach}, missing {centre.audit.missing}")
    if totals.unaccounted() or totals.open:
        wrong.append(f"{totals.unaccounted()} samples are unaccounted, {totals.open} open: {totals}")
    if totals.received != received:
        wrong.append(f"the account has received {totals.received} samples, {received} were given")
    if not totals.rolled_up == centre.told == stored:
        wrong.append(f"rolled up {totals.rolled_up}, told {centre.told}, stored {stored}")
    return wrong


def unlike(classes: Mapping[str, ClassCounts], totals: Totals) -> list[str]:
    """What is wrong with an account by class: each class balances, and all add up to the totals."""
    wrong = [f"class {name!r} does not balance: {counts}" for name, counts in classes.items() if counts.unaccounted()]
    for name, total in msgspec.structs.asdict(totals.counts()).items():
        found = sum(getattr(counts, name) for counts in classes.values())
        if found != total:
            wrong.append(f"classes have {found} samples {name}, the gateway {total}")
    return wrong
