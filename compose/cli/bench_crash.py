"""`tidegate bench crash`: the power goes at thousands of chosen moments; every acknowledged sample is counted once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import msgspec

from compose.bench.crash.run import LEAST_SHARE, cores, report, run
from compose.cli.ending import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from compose.bench.crash.run import Report
    from compose.bench.crash.story import Outcome

ENOUGH_SEEDS = 500
"""From so many seeds on, each phase must have its share of the crash points."""


@click.command()
@click.option("--seeds", default=200, show_default=True, help="How many stories.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, default=None, help="Tell this one seed again.")
@click.option("--until-failure", is_flag=True, help="Stop at the first seed that fails.")
@click.option("--workers", type=int, default=None, help="Processes; as many as there are cores if not given.")
@click.option("--json", "as_json", is_flag=True, help="Nothing but the JSON on standard output.")
def crash(seeds: int, first: int, seed: int | None, workers: int | None, *, until_failure: bool, as_json: bool) -> None:
    """Cut a simulated gateway's power at a chosen disk operation, drop, tear and reorder what was not synced, go on.

    Each seed is four minutes of samples in 52 commits, with an outage, checkpoints, rotations, evictions, merged blocks,
    late revisions and degradation. Exit code 1 when an acknowledged sample is lost, dropped or counted twice, when an
    account does not balance, when a phase has too few of the crash points, or when a story lacks one of these.

    \b
    Examples:
      tidegate bench crash --seeds 10000 --json
      tidegate bench crash --seed 4711
    """
    numbers = [seed] if seed is not None else list(range(first, first + seeds))
    outcomes = run(numbers, workers or cores())
    with click.progressbar(outcomes, length=len(numbers), label="crash stories", file=sys.stderr) as told:
        found = report(_until_failure(told) if until_failure else told)
    _show(found, to_stderr=as_json)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    thin = found.seeds >= ENOUGH_SEEDS and found.rarest() < LEAST_SHARE
    sys.exit(0 if found.good() and not (thin or found.untold or found.dropped) else FAILED)


def _until_failure(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        yield outcome
        if outcome.judgement.wrong():
            return


def _show(found: Report, *, to_stderr: bool) -> None:
    crashes = sum(found.crash_points.values())
    for phase, points in found.crash_points.items():
        click.echo(f"{points:8} crash points  {points / max(1, crashes):6.1%}  {phase}", err=to_stderr)
    click.echo(
        f"{found.seeds} seeds, {found.acknowledged} samples acknowledged: {found.lost} lost, "
        f"{found.duplicated} counted twice, {found.dropped} dropped, {found.ledger_mismatches} accounts wrong",
        err=to_stderr,
    )
    for what, stories in found.untold.items():
        click.echo(f"{stories} stories without {what}", err=True)
    for failure in found.failures:
        click.echo(f"seed {failure.seed}: {'; '.join(failure.complaints[:3])}", err=True)
