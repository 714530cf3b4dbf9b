"""Asks a gateway that runs on this machine."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import msgspec

from edge_aggregator.live.protocol import FILE_NAME, LiveStatus, Question, socket_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NotRunningError(ConnectionError):
    """No gateway answers in that folder; the text says why."""


def live_status(data_dir: Path) -> LiveStatus:
    """What only the running gateway knows. Raises NotRunningError."""
    line = next(ask(data_dir, Question(ask="status"), timeout_s=10.0), b"")
    try:
        return msgspec.json.decode(line, type=LiveStatus)
    except msgspec.DecodeError as error:
        raise NotRunningError(f"the gateway in {data_dir} gave no answer: {line[:200]!r}") from error


def ask(data_dir: Path, question: Question, *, timeout_s: float | None = None) -> Iterator[bytes]:
    """The lines of the answer as they come. Raises NotRunningError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout_s)
        try:
            with socket_address(data_dir) as address:
                link.connect(address)
            link.sendall(msgspec.json.encode(question) + b"\n")
            with link.makefile("rb") as lines:
                yield from lines
        except PermissionError as error:
            raise NotRunningError(f"{data_dir / FILE_NAME} is for the gateway's own user: {error.strerror}") from error
        except OSError as error:
            raise NotRunningError(f"no gateway runs with {data_dir}: {error.strerror or error}") from error
