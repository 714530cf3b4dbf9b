"""Whether InfluxDB (or the embedded store) answers, takes writes, is of a version that we know, and has the same time."""

from __future__ import annotations

import asyncio
import ssl
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from compose.doctor.clocks import compared
from compose.doctor.finding import bad, good, warning
from ingest.runtime.secrets import SecretError
from ingest.runtime.store.open import open_store
from ingest.runtime.store.port import StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose.doctor.finding import Finding
    from ingest.runtime.store.config import StoreConfig

ABOUT = "store"
KNOWN = "2."


def look_at_store(config: StoreConfig, now: Callable[[], int]) -> list[Finding]:
    """What was found of the store, its version and its clock (`now` is ours, in ms)."""
    if config.kind == "sqlite" and not Path(config.path).exists():
        return [warning(ABOUT, f"{config.path} is not there yet", "the first process that starts makes it")]
    found = [] if config.kind == "sqlite" else _greeted(config, now)
    return [*found, asyncio.run(_checked(config))]


async def _checked(config: StoreConfig) -> Finding:
    store = open_store(config)
    try:
        await store.check()
    except (StoreUnavailableError, StoreRefusedError, SecretError, ssl.SSLError, OSError) as error:
        remedy = "is it running, and are token, organisation and bucket those of this deployment?"
        return bad(ABOUT, str(error), remedy)
    finally:
        await store.close()
    return good(ABOUT, f"{config.kind} at {config.url or config.path} takes writes")


def _greeted(config: StoreConfig, now: Callable[[], int]) -> list[Finding]:
    try:
        verify = ssl.create_default_context(cafile=config.ca_file) if config.ca_file else True
        answer = httpx.get(f"{config.url.rstrip('/')}/ping", timeout=config.timeout_s, verify=verify, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return []  # the check says so
    found = [_version(answer.headers.get("x-influxdb-version", ""))]
    if date := answer.headers.get("date"):
        found.append(compared("the store", int(parsedate_to_datetime(date).timestamp() * 1000), now()))
    return found


def _version(told: str) -> Finding:
    if told.removeprefix("v").startswith(KNOWN):
        return good("versions", f"InfluxDB {told}")
    return warning("versions", f"the store calls itself {told or 'nothing'}", f"InfluxDB {KNOWN}x is what is tested")
