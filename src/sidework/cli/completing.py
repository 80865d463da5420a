"""``sidework completion``: what a shell needs to complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ..errors import SideworkError

_SHELLS = {
    "bash": 'eval "$(sidework completion bash)"     # in ~/.bashrc',
    "zsh": 'eval "$(sidework completion zsh)"      # in ~/.zshrc',
    "fish": "sidework completion fish | source      # in ~/.config/fish/config.fish",
}


@click.command(short_help="Print a script that completes commands in a shell.")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that has SHELL complete commands and options. To have it in every shell:"""
    made = get_completion_class(shell)
    if made is None:
        raise SideworkError(f"click knows no completion for {shell}: upgrade click")
    click.echo(made(ctx.find_root().command, {}, "sidework", "_SIDEWORK_COMPLETE").source())


completion.help = "\n".join([f"{completion.help}\n", "\b", *_SHELLS.values()])
