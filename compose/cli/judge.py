"""`tidegate rollout judge`: the gate over evidence that others have recorded."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec

from analytics.rollouts.recording import BadRecordingError, answer_of, judge, read_judge_plan, read_rows
from compose.cli.ending import refuse

_SPAN = re.compile(r"(\d+)(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


@click.command("judge")
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("evidence", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--every", default="0s", show_default=True, help="Look so far apart (5m, 1h); 0s: after every instant.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def judge_command(plan: Path, evidence: tuple[Path, ...], every: str, *, as_json: bool) -> None:
    """Judge recorded EVIDENCE (JSON lines, one file a rollout) by the guards and alpha of PLAN (JSON).

    It is the gate that serves production, so its error rates can be checked by simulation. docs/gate.md has the format.

    \b
    Examples:
      tidegate rollout judge plan.json run-1.jsonl --json
      tidegate rollout judge plan.json runs/*.jsonl --every 5m --json
    """
    every_ms = _span(every)
    try:
        policy = read_judge_plan(plan.read_bytes())
    except (OSError, BadRecordingError) as error:
        refuse(f"{plan}: {error}")
    for path in evidence:
        try:
            found = judge(policy, read_rows(path.read_bytes()), every_ms=every_ms)
        except (OSError, BadRecordingError) as error:
            refuse(f"{path}: {error}")
        line = msgspec.json.encode({"file": str(path), **msgspec.structs.asdict(found)}).decode()
        click.echo(line if as_json else f"{path}: {answer_of(found)}")


def _span(text: str) -> int:
    found = _SPAN.fullmatch(text)
    if found is None:
        refuse(f"--every: found {text!r}, expected a number and ms, s, m or h, like 5m")
    return int(found[1]) * _UNIT_MS[found[2]]
