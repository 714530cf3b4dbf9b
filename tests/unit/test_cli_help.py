"""Every command: an example of its own, a help line, and JSON where it prints data; completion that shells take."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from compose.cli.completion import SHELLS, VARIABLE
from compose.cli.main import COMMANDS, tidegate
from tests.process_kit import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NO_DATA = {
    "edge run": "runs until it is stopped",
    "ingest run": "runs until it is stopped",
    "analytics run": "runs until it is stopped",
    "api run": "runs until it is stopped",
    "config init": "prints a TOML file",
    "alerts starter": "prints a TOML file",
    "anomaly normal": "prints JSON always",
    "anomaly undo": "prints JSON always",
    "completion": "prints a shell's script",
}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, (*path, name))
    else:
        yield " ".join(path), command


EVERY = dict(leaves(tidegate))


@pytest.mark.parametrize("name", EVERY)
def test_help_has_an_example_of_the_command_itself(name: str) -> None:
    told = CliRunner().invoke(tidegate, [*name.split(), "--help"])
    assert told.exit_code == 0
    _, found, examples = told.stdout.partition("Example")
    assert found, "no example"
    assert f"tidegate {name}" in examples
    assert EVERY[name].get_short_help_str()


@pytest.mark.parametrize("name", EVERY)
def test_what_prints_data_prints_json(name: str) -> None:
    options = {option for parameter in EVERY[name].params for option in parameter.opts}
    assert ("--json" in options) != (name in NO_DATA), NO_DATA.get(name, "no --json")


def test_the_list_of_commands_fits_a_terminal() -> None:
    told = CliRunner().invoke(tidegate, ["--help"])
    assert all(len(line) <= 80 for line in told.stdout.splitlines())
    assert all(name in told.stdout for name in COMMANDS)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_is_printed(shell: str) -> None:
    told = CliRunner().invoke(tidegate, ["completion", shell])
    assert told.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in told.stdout


def completed(words: str) -> list[str]:
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    command = [sys.executable, "-c", "from compose.cli.main import main; main()"]
    ended = subprocess.run(command, env=environment() | asked, capture_output=True, text=True, check=False)
    return [line.split(",")[1] for line in ended.stdout.splitlines()]


def test_commands_options_and_choices_are_completed() -> None:
    assert {"rollout", "run"} & set(completed("tidegate ro")) == {"rollout"}
    assert completed("tidegate rollout pa") == ["pause"]
    assert "--mosquitto-conf" in completed("tidegate doctor --mos")
    assert completed("tidegate completion f") == ["fish"]


def test_bash_takes_the_script(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(CliRunner().invoke(tidegate, ["completion", "bash"]).stdout)
    bash = shutil.which("bash")
    assert bash, "bash runs the tests"
    told = subprocess.run(
        [bash, "--norc", "-c", f"source {script} && complete -p tidegate"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert "_tidegate_completion" in told.stdout
