"""Rules of one's own: print some to start from, check them, try them out."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from analytics.alerts.rules import BUILT_IN
from analytics.rules.file import load_rules
from analytics.rules.trial import TrialFile, run_trial
from compose.cli.ending import FAILED, REFUSED, refuse
from ingest.runtime.config import ConfigError, load_config

if TYPE_CHECKING:
    from analytics.rules.kinds import Rule
    from analytics.rules.trial import Failure, Trial

FILE = click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))


@click.command()
@click.option("--tests", is_flag=True, help="The examples that try them out, instead.")
def starter(*, tests: bool) -> None:
    """Print rules to start from; each has a runbook in docs/runbooks/.

    \b
    Examples:
      tidegate alerts starter > rules.toml
      tidegate alerts starter --tests > rules.test.toml
    """
    name = "starter.test.toml" if tests else "starter.toml"
    click.echo((files("analytics.rules") / name).read_text(), nl=False)


@click.command("check")
@FILE
@click.option("--json", "as_json", is_flag=True, help='One JSON object: {"ok", "errors", "rules"}.')
def check_command(path: Path, *, as_json: bool) -> None:
    """Validate a file of rules: unknown settings, bad durations, words that no alert has; exit code 2 when it is wrong.

    \b
    Example:
      tidegate alerts check rules.toml
    """
    try:
        names, errors = [rule.name for rule in load_rules(path, BUILT_IN)], []
    except ConfigError as error:
        names, errors = [], str(error).splitlines()
    if as_json:
        click.echo(msgspec.json.encode({"ok": not errors, "errors": errors, "rules": names}).decode())
        sys.exit(REFUSED if errors else 0)
    if errors:
        refuse("\n".join(errors))
    click.echo(f"{path}: good, {len(names)} rules")


@click.command("test")
@FILE
@click.option("--json", "as_json", is_flag=True, help='One JSON object: {"ok", "tests", "failures"}.')
def test_command(path: Path, *, as_json: bool) -> None:
    """Show rules example series and events, and compare the alerts with those that are expected.

    FILE names the file of rules, and has [[tests]] with series ("1 2x3 5+1x10 _x4": one value for each window), events and
    expect. Exit code 1 when something is not as expected.

    \b
    Examples:
      tidegate alerts starter > rules.toml
      tidegate alerts starter --tests > rules.test.toml
      tidegate alerts test rules.test.toml
    """
    try:
        trials = load_config(path, TrialFile)
        rules = load_rules(path.parent / trials.rules, BUILT_IN)
        failures = [failure for trial in trials.tests for failure in _run(path, trial, rules)]
    except ConfigError as error:
        refuse(str(error))
    if as_json:
        told = {"ok": not failures, "tests": len(trials.tests), "failures": [one._asdict() for one in failures]}
        click.echo(msgspec.json.encode(told).decode())
    else:
        for one in failures:
            click.echo(f"{path}: {one.trial}: at {one.at}, {one.rule}: {one.told}")
        click.echo(f"{path}: {len(trials.tests)} tests, {len(failures)} failures")
    sys.exit(FAILED if failures else 0)


def _run(path: Path, trial: Trial, rules: list[Rule]) -> list[Failure]:
    try:
        return run_trial(trial, rules)
    except ValueError as error:
        raise ConfigError(f"{path}: {trial.name}: {error}") from error
