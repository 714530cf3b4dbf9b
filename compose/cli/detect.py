"""`tidegate detect`: what detection would have said about somebody's own files."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from analytics.detect.recording import DEFAULT_RATE
from compose.cli.detect_plot import svg
from compose.cli.detect_rows import HEAD, metric_reason, rows
from compose.cli.detect_together import joint_alerts, joint_rows
from compose.cli.stack import examples
from compose.tryout.found import detect_tables
from compose.tryout.table import BadTableError, read_table
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from compose.tryout.found import Found
    from compose.tryout.table import Table

HEAD_PER_METRIC = ("device", "timestamp", "metric", "value", "score", "alert", "reasons")


@click.command(
    name="detect",
    epilog=examples(
        "tidegate detect pump.csv > scored.csv",
        "tidegate detect pump.csv --plot pump.svg > scored.csv",
        "tidegate detect *.csv --json",
    ),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--rate",
    type=click.FloatRange(0.0, min_open=True),
    default=DEFAULT_RATE,
    show_default=True,
    help="False alerts asked for, per 1,000 series and day.",
)
@click.option("--per-metric", is_flag=True, help="A row for each metric of each row, and one for all together.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Draw series, what was expected, alerts and scores into this SVG file.",
)
@click.option("--json", "as_json", is_flag=True, help="Only the summary, as JSON.")
def detect_files(files: tuple[Path, ...], rate: float, plot: Path | None, *, per_metric: bool, as_json: bool) -> None:
    """Feed CSV files row by row through the detector: of each row a score (0-1), an alert (0/1) and reasons.

    A file is a device: a column with times (ISO 8601, day.month.year, or a number since the epoch), the others are metrics.
    Several metrics are also looked at (together); reasons name the likeliest causes first. Rows go to standard output
    as CSV, in the order of the file, a summary beside it. Exit code 2 for a file that cannot be read as such a table.
    """
    found = _detect([_read(path) for path in files], rate, is_shown=sys.stderr.isatty() and not as_json)
    if plot is not None:
        plot.write_text(svg(found))
    if as_json:
        devices = [_summary(one) for one in found]
        click.echo(json.dumps({"false_alerts_per_1k_series_day": rate, "devices": devices}))
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(HEAD_PER_METRIC if per_metric else HEAD)
    for one in found:
        writer.writerows(_rows_per_metric(one) if per_metric else rows(one))
        click.echo(_sentence(_summary(one)), err=True)


def _detect(tables: Sequence[Table], rate: float, *, is_shown: bool) -> list[Found]:
    steps = 2 * max((len(table.times) for table in tables), default=0)
    with click.progressbar(length=steps, label="rows, each twice", file=sys.stderr, hidden=not is_shown) as bar:
        return detect_tables(tables, rate, bar.update)


def _read(path: Path) -> Table:
    try:
        return read_table(path)
    except BadTableError as error:
        raise click.UsageError(str(error)) from error


def _rows_per_metric(found: Found) -> Iterator[list[Any]]:
    table, single = found.table, found.single
    for row, metric in np.argwhere(~np.isnan(table.values)):
        yield [
            table.name,
            rfc3339(int(table.times[row])),
            table.metrics[metric],
            f"{table.values[row, metric]:.9g}",
            f"{single.score[row, metric]:.4f}",
            int(single.alert[row, metric]),
            metric_reason(single, int(row), int(metric)),
        ]
    yield from joint_rows(table, found.joint) if found.joint else ()


def _summary(of: Found) -> dict[str, Any]:
    table, found = of.table, of.single
    alerts: list[dict[str, Any]] = [
        {
            "metric": table.metrics[metric],
            "at": rfc3339(int(table.times[row])),
            "value": float(table.values[row, metric]),
            "expected": float(f"{found.expected[row, metric]:.9g}"),
            "score": round(float(found.score[row, metric]), 4),
            "reason": metric_reason(found, int(row), int(metric)),
        }
        for row, metric in np.argwhere(found.entered)
    ]
    alerts += joint_alerts(table, of.joint) if of.joint else []
    return {
        "device": table.name,
        "rows": len(table.times),
        "metrics": list(table.metrics),
        "left_out": list(table.left_out),
        "unreadable_rows": table.unreadable,
        "alerts": alerts,
    }


def _sentence(summary: dict[str, Any]) -> str:
    left_out = f"; no numbers in {', '.join(summary['left_out'])}" if summary["left_out"] else ""
    return f"{summary['device']}: {summary['rows']} rows, {len(summary['alerts'])} alerts{left_out}"
