"""`tidegate grafana`: the dashboards as files, or into a running Grafana."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from compose.cli.ending import fail, refuse
from ingest.runtime.secrets import SecretError, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.grafana.sources import Places

C = TypeVar("C", bound="Callable[..., Any]")
TOKEN_VARIABLE = "TIDEGATE_GRAFANA_TOKEN"  # noqa: S105 - its name
SECRETS = {
    "influxdb_token": "TIDEGATE_INFLUXDB_TOKEN",
    "api_token": "TIDEGATE_TOKEN",
    "prometheus_password": "TIDEGATE_PROMETHEUS_PASSWORD",
}
OPTIONS = {
    "influxdb": "InfluxDB, version 2 or 3.",
    "bucket": "Its bucket (version 3: database).",
    "prometheus": "Prometheus.",
    "prometheus_user": "Its user, if it asks for one.",
    "api": "Our API.",
    "loki": "Loki; without it there is no panel of logs.",
    "trace_url": "Where an exemplar leads, with ${__value.raw} for the trace's id.",
}


def place_options(command: C) -> C:
    """An option for each address, as Grafana sees it."""
    from dashboards.grafana.sources import Places  # noqa: PLC0415 - only this command needs the SDK

    for name, text in reversed(OPTIONS.items()):
        default = msgspec.to_builtins(Places())[name]
        option = click.option(
            f"--{name.replace('_', '-')}", name, default=default, show_default=bool(default), help=text
        )
        command = option(command)
    return command


@click.group()
def grafana() -> None:
    """Grafana's dashboards: fleet, site, device, rollout, pipeline, incidents; and rules for Prometheus.

    \b
    Examples:
      tidegate grafana export ./grafana
      tidegate grafana push https://grafana.example.org --token-file grafana.token
    """


@grafana.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seen-at", default="", help="Where Grafana finds the folder's `dashboards`. [default: where they are]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the files, and which of them were written.")
@place_options
def export(folder: Path, *, seen_at: str, as_json: bool, **places: str) -> None:
    """Write dashboards, provisioning files and rules into FOLDER; what is the same already is left alone.

    Secrets are not written: Grafana takes them from its own environment (TIDEGATE_INFLUXDB_TOKEN, TIDEGATE_TOKEN,
    TIDEGATE_PROMETHEUS_PASSWORD).

    \b
    Examples:
      tidegate grafana export ./grafana
      tidegate grafana export /etc/grafana/tidegate --influxdb http://influxdb:8086 --prometheus http://prometheus:9090
    """
    from dashboards.grafana.export import exported, write  # noqa: PLC0415 - only this command needs the SDK

    content = exported(_places(places), seen_at or str((folder / "dashboards").absolute()))
    try:
        written = write(folder, content)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    if as_json:
        names = [str(path.relative_to(folder)) for path in written]
        click.echo(msgspec.json.encode({"folder": str(folder), "files": list(content), "written": names}))
        return
    for path in written:
        click.echo(f"written  {path}")
    click.echo(f"{len(content)} files in {folder}, {len(written)} of them new or changed")


@grafana.command("push")
@click.argument("url")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"File with the token of a service account; without one, {TOKEN_VARIABLE} is the token.",
)
@click.option("--data-sources", "with_sources", is_flag=True, help="Also create or update the data sources.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@place_options
def push(url: str, token_file: Path | None, *, with_sources: bool, as_json: bool, **places: str) -> None:
    """Put the dashboards into a running Grafana; doing it again changes nothing.

    With --data-sources their secrets are taken from TIDEGATE_INFLUXDB_TOKEN, TIDEGATE_TOKEN and, with a user,
    TIDEGATE_PROMETHEUS_PASSWORD.

    \b
    Examples:
      tidegate grafana push https://grafana.example.org --token-file grafana.token
      TIDEGATE_GRAFANA_TOKEN=… tidegate grafana push http://127.0.0.1:3000 --data-sources --json
    """
    from dashboards.grafana.every import every_dashboard  # noqa: PLC0415 - only this command needs the SDK
    from dashboards.grafana.push import Grafana, GrafanaError  # noqa: PLC0415
    from dashboards.grafana.sources import data_sources  # noqa: PLC0415

    known = _places(places)
    sources = data_sources(_with_secrets(known)) if with_sources else []
    try:
        for pushed in Grafana(url, _token(token_file)).push(every_dashboard(with_logs=bool(known.loki)), sources):
            line = f"{pushed.outcome:<10} {pushed.kind} {pushed.uid}"
            click.echo(msgspec.json.encode(pushed).decode() if as_json else line)
            sys.stdout.flush()
    except GrafanaError as error:
        fail(str(error))


def _places(given: dict[str, str]) -> Places:
    from dashboards.grafana.sources import Places  # noqa: PLC0415 - only this command needs the SDK

    return Places(**given)


def _with_secrets(places: Places) -> Places:
    wanted = {name: variable for name, variable in SECRETS.items() if name != "prometheus_password"}
    wanted |= {"prometheus_password": SECRETS["prometheus_password"]} if places.prometheus_user else {}
    missing = [variable for variable in wanted.values() if not os.environ.get(variable)]
    if missing:
        refuse(f"--data-sources needs secrets in the environment: {', '.join(missing)}")
    return msgspec.structs.replace(places, **{name: os.environ[variable] for name, variable in wanted.items()})


def _token(path: Path | None) -> str:
    if path is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip() or refuse(
            f"no token: give --token-file, or set {TOKEN_VARIABLE}; Grafana makes one under Administration, Service accounts"
        )
    try:
        return read_secret(path)
    except (SecretError, UnicodeDecodeError) as error:
        refuse(str(error))
