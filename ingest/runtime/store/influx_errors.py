"""What an answer of InfluxDB means for a write: wait and try again, or never."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from influxdb_client.rest import ApiException

from ingest.runtime.secrets import SecretError
from ingest.runtime.store.port import StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 300

_REFUSED = frozenset({400, 413, 422})
"""Not line protocol, too large, type conflict or beyond retention: the same write will never be taken."""

_TURNED_AWAY = frozenset({401, 403})

_REMEDIES = {
    401: "the token is unknown there: check token_file",
    403: "the token may not do this: give it read and write access to the bucket",
    404: "check org and bucket, and create the bucket if it is missing",
    429: "it is overloaded",
    503: "it is overloaded or starting",
}


class UnknownTokenError(StoreUnavailableError):
    """The token is not known, or may not do this."""


@contextmanager
def translated_errors(url: str, timeout_s: float) -> Iterator[None]:
    """Raises StoreRefusedError or StoreUnavailableError for whatever goes wrong inside."""
    try:
        yield
    except ApiException as error:
        raise _error_of(url, int(error.status or 0), str(error.message)[:_LIMIT]) from error
    except TimeoutError as error:
        raise StoreUnavailableError(f"{url}: no answer within {timeout_s:g} s") from error
    except SecretError as error:
        raise StoreUnavailableError(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise StoreUnavailableError(f"{url}: {error or type(error).__name__}"[:_LIMIT]) from error


def _error_of(url: str, status: int, message: str) -> Exception:
    if status in _REFUSED:
        return StoreRefusedError(f"{url} answered {status}: {message}")
    remedy = _REMEDIES.get(status, "check that an InfluxDB 2 listens there")
    kind = UnknownTokenError if status in _TURNED_AWAY else StoreUnavailableError
    return kind(f"{url} answered {status}: {message}; {remedy}")
