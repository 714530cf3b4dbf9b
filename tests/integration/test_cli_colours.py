"""Colours are for terminals, and for nobody who sets NO_COLOR: every command that has any, in a pseudo-terminal; and pipes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.process_files import Files
from tests.process_kit import environment
from tests.terminal import COLOUR, ESCAPE, Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPOSE = Path(__file__).parents[2] / "compose"
TIDEGATE = (sys.executable, "-c", "from compose.cli.main import main; main()")
STORY = (
    "from compose.demo.screen import Screen\n"
    "with Screen(quiet=False) as screen: screen.say(1.5, 'the gate says fail', 'red')\n"
    "screen.end('The loop has closed.', 'bold green')"
)
COLOURED = {
    "cli/doctor.py": "doctor",
    "cli/top.py": "top",  # and `status`; tests/integration/test_top_terminal.py
    "demo/screen.py": "demo",
}
"""Every file that gives a colour to anything, and whose it is."""


def plain_environment(**more: str) -> dict[str, str]:
    foreign = {"NO_COLOR", "FORCE_COLOR", "CI", "COLUMNS", "LINES"}
    return {name: value for name, value in environment().items() if name not in foreign} | more


@pytest.fixture
def commands(tmp_path: Path) -> dict[str, Sequence[str]]:
    config = Files(tmp_path).write("ingest")
    return {"doctor": [*TIDEGATE, "doctor", str(config)], "demo": [sys.executable, "-c", STORY]}


def written(command: Sequence[str], **more: str) -> str:
    with Terminal(command, plain_environment(**more)) as terminal:
        assert terminal.ended() in {0, 1}
        return terminal.output


@pytest.mark.parametrize("name", ["doctor", "demo"])
def test_a_terminal_has_colours_unless_no_color_is_set(commands: dict[str, Sequence[str]], name: str) -> None:
    coloured, plain = written(commands[name]), written(commands[name], NO_COLOR="1")
    assert COLOUR.search(coloured)
    assert not COLOUR.search(plain)
    assert len(ESCAPE.sub("", plain).split()) > 3


@pytest.mark.parametrize("name", ["doctor", "demo"])
def test_in_a_pipe_there_is_nothing_that_steers_a_terminal(commands: dict[str, Sequence[str]], name: str) -> None:
    told = subprocess.run(commands[name], env=plain_environment(), capture_output=True, text=True, check=False)
    assert told.returncode in {0, 1}, told.stderr
    assert told.stdout
    assert "\x1b" not in told.stdout + told.stderr
    assert "\r" not in told.stdout + told.stderr


def test_no_other_command_has_colours() -> None:
    marks = re.compile(r"click\.(?:style|secho)|^from rich|\\x1b\[\d*m|\\033", re.MULTILINE)
    files = {str(path.relative_to(COMPOSE)) for path in COMPOSE.rglob("*.py") if marks.search(path.read_text())}
    assert {file for file in files if not file.startswith("top/")} == COLOURED.keys()


@pytest.mark.parametrize("command", [("config", "init", "edge"), ("alerts", "starter"), ("--help",)], ids=" ".join)
def test_who_reads_only_the_first_line_ends_it_without_a_word(command: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [*TIDEGATE, *command], env=plain_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `head` does, sooner
        assert process.stderr.read() == ""
        assert process.wait() in {0, 1}
