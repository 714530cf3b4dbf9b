"""`tidegate keys`: key pairs for gateways and the centre, tokens for the API."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import click

from compose.cli.ending import refuse
from ingest.contract.commands import key_id
from ingest.runtime.secrets import SecretError, generate_private_key, public_key_text, write_secret


@click.group()
def keys() -> None:
    """Make keys and tokens."""


@keys.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def generate(path: Path) -> None:
    """Make an Ed25519 key (or load the one that is there) and print its public half and its id.

    \b
    Example:
      tidegate keys generate /etc/tidegate/gateway.pem
    """
    try:
        public = generate_private_key(path).public_key()
    except (SecretError, OSError) as error:
        refuse(str(error))
    click.echo(f'public_key = "{public_key_text(public)}"  # key id {key_id(public)}')


@keys.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def token(path: Path) -> None:
    """Make an API token, write it to PATH (mode 0600), and print what the API's configuration needs: its SHA-256.

    \b
    Example:
      tidegate keys token ~/.config/tidegate/token
    """
    if path.exists():
        refuse(f"{path}: exists; remove it to make a new token")
    text = secrets.token_urlsafe(32)
    try:
        write_secret(path, text.encode())
    except OSError as error:
        refuse(f"{path}: cannot be written: {error.strerror}")
    click.echo(f'sha256 = "{hashlib.sha256(text.encode()).hexdigest()}"')
