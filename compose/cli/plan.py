"""`tidegate rollout plan`: is this plan right, what is its policy, and how does it differ from another?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from analytics.rollouts.policy import policy_hash
from compose.cli.ending import FAILED, refuse
from compose.cli.plan_file import CHANGEABLE, differences, read_plan_file
from dashboards.api.plans import BadPlanError, read_plan, to_plan


@click.command("plan")
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--diff", "other", type=click.Path(path_type=Path, dir_okay=False), help="Compare with this older plan.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def plan_command(plan: Path, other: Path | None, *, as_json: bool) -> None:
    """Check PLAN (TOML, JSON or YAML): every mistake with its path, and the hash of its policy.

    With --diff: what changed since the older plan. Exit code 1 when something changed that a running rollout may not change.

    \b
    Examples:
      tidegate rollout plan plan.toml
      tidegate rollout plan plan.toml --diff running.toml
    """
    fields = checked_plan(plan)
    changes = list(differences(checked_plan(other), fields)) if other else []
    told = [_change(*change) for change in changes]
    policy = _policy(fields)
    if as_json:
        click.echo(msgspec.json.encode({"policy_hash": policy, "changes": told}).decode())
    else:
        click.echo("\n".join([f"{plan}: right, policy {policy}", *map(_line, told)]))
    sys.exit(FAILED if any(not change["while_running"] for change in told) else 0)


def checked_plan(path: Path) -> dict[str, Any]:
    """The plan with every default written out."""
    try:
        fields = read_plan_file(path)
        asked = read_plan(msgspec.json.encode(fields), str(fields.get("tenant", "")))
    except BadPlanError as error:
        refuse("\n".join(f"{path}: {mistake.path}: {mistake.message}" for mistake in error.mistakes))
    except (OSError, ValueError) as error:
        refuse(f"{path}: {error}")
    complete: dict[str, Any] = msgspec.to_builtins(asked)
    return complete


def _policy(fields: dict[str, Any]) -> str:
    asked = read_plan(msgspec.json.encode(fields), fields["tenant"])
    return policy_hash(to_plan(asked, tenant=fields["tenant"], created=0, created_by=""))


def _change(path: str, old: Any, new: Any) -> dict[str, Any]:
    return {"path": path, "old": old, "new": new, "while_running": path.split(".")[1] in CHANGEABLE}


def _line(change: dict[str, Any]) -> str:
    old, new = (msgspec.json.encode(change[side]).decode() for side in ("old", "new"))
    told = "" if change["while_running"] else "  (not while it runs)"
    return f"{change['path']}: {old} -> {new}{told}"
