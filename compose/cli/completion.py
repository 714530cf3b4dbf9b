"""`tidegate completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from compose.cli.ending import refuse

VARIABLE = "_TIDEGATE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      tidegate completion bash > ~/.local/share/bash-completion/completions/tidegate
      tidegate completion zsh > "${fpath[1]}/_tidegate"
      tidegate completion fish > ~/.config/fish/completions/tidegate.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        refuse(f"{shell}: not known; there are {', '.join(SHELLS)}")
    # The template itself: asking for `source()` would start a bash just to look at its version.
    made = kind(context.find_root().command, {}, "tidegate", VARIABLE)
    click.echo(kind.source_template % made.source_vars())
