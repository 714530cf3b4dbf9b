"""`tidegate token`: who may ask the API, made and revoked while it runs."""

from __future__ import annotations

import getpass
from pathlib import Path

import click
import msgspec

from compose.cli.config import read
from compose.cli.ending import fail, refuse
from compose.processes.config import ApiProcess
from dashboards.api.config import Scope
from dashboards.api.token_file import BadTokenError, TokenFile, token_view
from ingest.contract.records import rfc3339
from ingest.runtime.clock import SystemClock
from ingest.runtime.secrets import SecretError, write_secret

CONFIG = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
DAY_S = 86_400.0
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON.")


@click.group()
def token() -> None:
    """Make, list and revoke tokens of the API. CONFIG is the API's file; its `tokens_file` says where digests are kept."""


@token.command()
@CONFIG
@click.argument("name")
@click.option("--tenant", required=True, help="Whose data it opens.")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice([scope.value for scope in Scope]))
@click.option("--days", type=click.FloatRange(0.001, 366), default=90.0, show_default=True, help="Then it expires.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there (mode 0600) instead.")
@AS_JSON
def create(
    config: Path, name: str, *, tenant: str, scopes: tuple[str, ...], days: float, out: Path | None, as_json: bool
) -> None:
    """Make a token named NAME. It is printed this once and kept nowhere.

    \b
    Examples:
      tidegate token create api.toml on-call --tenant acme --scope read --scope alerts:write
      tidegate token create api.toml ci --tenant acme --scope gates --days 365 --out ./ci-token
    """
    if out is not None and out.exists():
        refuse(f"{out}: exists; remove it to make a new token")
    kept, now = _kept(config), SystemClock().now_ms()
    try:
        made, fresh = kept.create(
            name, tenant=tenant, scopes=[Scope(one) for one in dict.fromkeys(scopes)], by=getpass.getuser(), now=now, lasts_s=days * DAY_S
        )  # fmt: skip
        if out is not None:
            write_secret(out, fresh.token.encode())
    except BadTokenError as error:
        refuse(str(error))
    except (SecretError, OSError) as error:
        fail(str(error))
    shown = {} if out else {"token": fresh.token}
    told = msgspec.to_builtins(token_view(made)) | shown
    plain = f"{out}: token {name}" if out else fresh.token
    click.echo(msgspec.json.encode(told).decode() if as_json else plain)


@token.command("list")
@CONFIG
@AS_JSON
def list_command(config: Path, *, as_json: bool) -> None:
    """The tokens that were made so, without their text; those in the configuration itself are not among them.

    \b
    Example:
      tidegate token list api.toml
    """
    now = SystemClock().now_ms()
    try:
        known = _kept(config).tokens()
    except SecretError as error:
        fail(str(error))
    for one in sorted(known, key=lambda one: (one.tenant, one.name)):
        told = msgspec.to_builtins(token_view(one)) | {"tenant": one.tenant}
        until = f"{'expired' if one.expires <= now else 'until'} {rfc3339(one.expires)}"
        line = f"{one.tenant:<12} {one.name:<20} {until}  {' '.join(one.scopes)}  (by {one.by})"
        click.echo(msgspec.json.encode(told).decode() if as_json else line)


@token.command()
@CONFIG
@click.argument("name")
@click.option("--tenant", required=True, help="Whose token it is.")
@AS_JSON
def revoke(config: Path, name: str, tenant: str, *, as_json: bool) -> None:
    """The token named NAME opens nothing any more, from the API's next request on.

    \b
    Example:
      tidegate token revoke api.toml on-call --tenant acme
    """
    try:
        found = _kept(config).revoke(name, tenant)
    except (SecretError, OSError) as error:
        fail(str(error))
    if not found:
        fail(f"{tenant} has no token {name!r}; `tidegate token list {config}` shows them")
    click.echo(msgspec.json.encode({"revoked": name}).decode() if as_json else f"{name} is revoked")


def _kept(config: Path) -> TokenFile:
    api = read(config, ApiProcess).api
    if not api.tokens_file:
        refuse(f"{config}: api.tokens_file is not set: where are the tokens' digests to be kept?")
    return TokenFile(Path(api.tokens_file), frozenset(one.name for one in api.tokens))
