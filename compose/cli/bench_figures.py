"""What the benches that write to a disk all ask, and how they tell their figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

json_option = click.option("--json", "as_json", is_flag=True, help="Nothing but the JSON on standard output.")


def disk_option(written: str) -> Callable[[Any], Any]:
    """`--dir`, an argument `folder`: on which disk that which the bench has `written` is."""
    return click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        default=Path(),
        help=f"On which disk {written} written.  [default: here]",
    )


def tell_figures(figures: Mapping[str, Any], *, as_json: bool, width: int) -> None:
    """A line each, with names padded to `width`, unless only JSON was asked for; the JSON is the last line."""
    if not as_json:
        for name, value in figures.items():
            click.echo(f"{name:<{width}} {value}")
    click.echo(json.dumps(figures))
