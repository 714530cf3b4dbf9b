"""`tidegate keys`: key pairs for gateways and the centre, tokens for the API."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import click
import msgspec

from compose.cli.ending import refuse
from ingest.contract.commands import key_id
from ingest.runtime.secrets import SecretError, generate_private_key, public_key_text, write_secret


@click.group()
def keys() -> None:
    """Make keys and tokens."""


@keys.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def generate(path: Path, *, as_json: bool) -> None:
    """Make an Ed25519 key (or load the one that is there) and print its public half and its id.

    \b
    Example:
      tidegate keys generate /etc/tidegate/gateway.pem
    """
    try:
        public = generate_private_key(path).public_key()
    except (SecretError, OSError) as error:
        refuse(str(error))
    told = {"public_key": public_key_text(public), "key_id": key_id(public)}
    line = f'public_key = "{told["public_key"]}"  # key id {told["key_id"]}'
    click.echo(msgspec.json.encode(told).decode() if as_json else line)


@keys.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def token(path: Path, *, as_json: bool) -> None:
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
    digest = hashlib.sha256(text.encode()).hexdigest()
    click.echo(msgspec.json.encode({"sha256": digest}).decode() if as_json else f'sha256 = "{digest}"')
