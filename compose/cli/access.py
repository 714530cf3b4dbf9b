"""The API as the command line sees it: an address, a token in a file or the environment, problems told in one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import httpx
import msgspec

from compose.cli.ending import refuse
from ingest.runtime.secrets import SecretError, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN_VARIABLE = "TIDEGATE_TOKEN"  # noqa: S105 - its name
"""The token itself, for jobs that are handed secrets as variables; a file goes before it."""

C = TypeVar("C", bound="Callable[..., Any]")


PATIENCE = httpx.Timeout(60.0, connect=10.0)
"""Seconds: a write is answered when the log has it, which a log that is just moving its partitions delays."""


class ApiError(RuntimeError):
    """The API cannot be reached or says no; `passing` when asking again may help."""

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing


class Api:
    """The API as the command line sees it."""

    def __init__(self, address: str, token_file: Path | None) -> None:
        self._address, self._token_file = address, token_file

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The answer; a problem ends the command with exit code 2."""
        try:
            return self.request(method, path, body)
        except ApiError as error:
            refuse(str(error))

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The answer. Raises ApiError."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            answer = httpx.request(
                method, self._address.rstrip("/") + path, json=body, headers=headers, timeout=PATIENCE
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = f"{error or type(error).__name__}; is `tidegate api run` running there?"
            raise ApiError(f"{self._address}: {why}", passing=True) from error
        if answer.is_error:
            raise ApiError(_problem(answer), passing=answer.is_server_error)
        return dict(msgspec.json.decode(answer.content))

    def _token(self) -> str:
        if self._token_file is None:
            return os.environ.get(TOKEN_VARIABLE, "").strip() or refuse(
                f"no token: give --token-file, or set TIDEGATE_TOKEN_FILE (or {TOKEN_VARIABLE}, where a job is handed its "
                "secrets); `tidegate keys token FILE` makes one"
            )
        try:
            return read_secret(self._token_file)
        except (SecretError, UnicodeDecodeError) as error:
            refuse(str(error))


def _problem(answer: httpx.Response) -> str:
    # RFC 9457, where the API speaks; whatever stands between may answer anything.
    try:
        told = msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"{answer.status_code} {answer.reason_phrase}: {answer.text[:200]}"
    mistakes = [f"{one.get('path')}: {one.get('message')}" for one in told.get("errors") or []]
    return "\n".join(
        [f"{answer.status_code} {told.get('title', '')}: {told.get('detail', '')}".rstrip(": "), *mistakes]
    )


def api_options(command: C) -> C:
    """The options that say where the API is and who asks: `address` and `token_file`."""
    address = click.option(
        "--api", "address", envvar="TIDEGATE_API", default="http://127.0.0.1:8780", show_default=True
    )
    token = click.option(
        "--token-file",
        envvar="TIDEGATE_TOKEN_FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with the bearer token (environment: TIDEGATE_TOKEN_FILE); without one, TIDEGATE_TOKEN is the token.",
    )
    return address(token(command))
