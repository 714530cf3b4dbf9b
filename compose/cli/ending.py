"""How a command ends: one line on stderr that says what to do, and the exit code that scripts look at."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import apsw
import click

from ingest.runtime.config import ConfigError
from ingest.runtime.observe import ListenError
from ingest.runtime.secrets import SecretError
from ingest.runtime.service import ServiceFailedError

if TYPE_CHECKING:
    from pathlib import Path

FAILED, REFUSED = 1, 2

_MISTAKES = (ConfigError, ListenError, SecretError)
_ADDRESSES = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}


def fail(text: str) -> NoReturn:
    """It was asked rightly and did not work: exit code 1."""
    _end(text, FAILED)


def refuse(text: str) -> NoReturn:
    """The command or its configuration is wrong: exit code 2."""
    _end(text, REFUSED)


def end_process(path: Path, error: BaseException) -> NoReturn:
    """What ended a process that was run with the configuration at `path`; a bug shows where it is."""
    cause = _innermost(error)
    told = f"{path}: {cause or type(cause).__name__}"
    if isinstance(cause, _MISTAKES) or (isinstance(cause, OSError) and cause.errno in _ADDRESSES):
        refuse(told)
    if isinstance(error, ValueError):  # raised while the parts were put together: a setting that none of them takes
        refuse(told)
    if isinstance(cause, OSError | apsw.Error) or type(cause).__name__ == "StorageFailedError":
        fail(told)
    traceback.print_exception(cause)
    fail(str(error))


def _innermost(error: BaseException) -> BaseException:
    while True:
        if isinstance(error, ServiceFailedError) and error.__cause__ is not None:
            error = error.__cause__
        elif isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        else:
            return error


def _end(text: str, code: int) -> NoReturn:
    click.echo("\n".join(f"tidegate: {line}" for line in text.splitlines()), err=True)
    sys.exit(code)
