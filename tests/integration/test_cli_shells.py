"""The completion scripts in real shells: bash, zsh and fish load them and complete commands, options and choices.

zsh and fish are taken from PATH or from the system's packages (`zsh`, `fish`), as servers are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from compose.cli.main import tidegate
from compose.stack.obtain import obtain
from compose.stack.packaged_recipes import PackagedRecipe
from tests.process_kit import environment

pytestmark = [pytest.mark.servers("shells"), pytest.mark.timeout(900)]

SHELLS = {
    name: PackagedRecipe(
        name=name,
        variable=f"TIDEGATE_TESTS_{name.upper()}",
        package=name,
        commands=(name,),
        ask="--version",
        accepts=(least, (99,)),
        install=f"install {name} (package {name} in Debian, Fedora and Arch)",
    )
    for name, least in (("bash", (4, 4)), ("zsh", (5,)), ("fish", (3,)))
}

ASKING = {
    "bash": """
        source "$SCRIPT"
        COMP_WORDS=(tidegate $WORDS) COMP_CWORD=$COUNT
        $(complete -p tidegate | sed 's/.*-F \\([^ ]*\\) .*/\\1/') tidegate
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    # Outside of the line editor these two have nothing to fill: they say what they are given.
    "zsh": """
        autoload -Uz compinit && compinit -u -D
        source "$SCRIPT"
        _describe() { print -rl -- $completions_with_descriptions }
        compadd() { print -rl -- $completions }
        words=(tidegate ${=WORDS}) CURRENT=$(( COUNT + 1 ))
        $_comps[tidegate]
    """,
    "fish": """
        source "$SCRIPT"
        complete --do-complete="tidegate $WORDS"
    """,
}
PLAIN = {"bash": ("--norc", "--noprofile"), "zsh": ("-f",), "fish": ("--no-config",)}


def completed(shell: str, folder: Path, words: str) -> set[str]:
    """What the shell offers for the last of the words."""
    program = obtain(SHELLS[shell], os.environ, print).path
    script = folder / f"completion.{shell}"
    script.write_text(CliRunner().invoke(tidegate, ["completion", shell]).stdout)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {"SCRIPT": str(script), "WORDS": words, "COUNT": str(len(words.split())), "PATH": path, "HOME": str(folder)}
    told = subprocess.run(
        [program, *PLAIN[shell], "-c", ASKING[shell]],
        env=environment() | given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, ""), told.stdout + told.stderr
    return {line.partition("\t")[0].partition(":")[0].strip() for line in told.stdout.splitlines()}


@pytest.mark.parametrize("shell", ASKING)
def test_the_shell_completes_commands_options_and_choices(shell: str, tmp_path: Path) -> None:
    assert completed(shell, tmp_path, "rol") == {"rollout"}
    assert completed(shell, tmp_path, "rollout pa") == {"pause"}
    assert completed(shell, tmp_path, "completion f") == {"fish"}
    assert "--mosquitto-conf" in completed(shell, tmp_path, "doctor --mos")
