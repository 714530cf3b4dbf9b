"""The InfluxDB store against servers that are none, or do not answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from ingest.runtime.store.config import StoreConfig
from ingest.runtime.store.influx import InfluxStore
from ingest.runtime.store.open import open_store
from ingest.runtime.store.port import StoreRefusedError, StoreUnavailableError
from tests.rollup_batches import Row, all_rows, make_batch
from tests.tcp_server import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@contextlib.asynccontextmanager
async def answering(tmp_path: Path, answer: bytes) -> AsyncIterator[InfluxStore]:
    """A store whose server says `answer` to everything, or nothing at all when that is empty."""

    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not answer:
            await over.wait()

    token = tmp_path / "token"
    token.touch(0o600)
    async with serving(serve) as port:
        store = InfluxStore(
            StoreConfig(
                kind="influxdb",
                url=f"http://127.0.0.1:{port}",
                org="o",
                tenant="acme",
                token_file=str(token),
                timeout_s=0.3,
            )
        )
        try:
            yield store
        finally:
            await store.close()
            over.set()


def http(status: str, body: str = "{}") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("500 Internal Server Error", "answered 500: engine"),
        ("503 Service Unavailable", "overloaded or starting"),
        ("429 Too Many Requests", "overloaded"),
        ("405 Method Not Allowed", "check that an InfluxDB 2 listens there"),
        ("200 OK", "answered 200, expected 204"),
    ],
)
async def test_answers_to_wait_out(tmp_path: Path, status: str, reason: str) -> None:
    async with answering(tmp_path, http(status, '{"message": "engine"}')) as store:
        with pytest.raises(StoreUnavailableError, match=reason):
            await store.check()


@pytest.mark.parametrize("status", ["400 Bad Request", "413 Request Entity Too Large", "422 Unprocessable Entity"])
async def test_answers_that_stay(tmp_path: Path, status: str) -> None:
    async with answering(tmp_path, http(status, '{"message": "partial write"}')) as store:
        batch = make_batch([Row()])
        with pytest.raises(StoreRefusedError, match="partial write"):
            await store.write(batch, all_rows(batch))


async def test_silence_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    async with answering(tmp_path, b"") as store:
        with pytest.raises(StoreUnavailableError, match=r"no answer within 0\.3 s"):
            await store.check()


async def test_what_is_no_http_is_unavailable(tmp_path: Path) -> None:
    async with answering(tmp_path, b"SSH-2.0-OpenSSH_9.2\r\n") as store:
        with pytest.raises(StoreUnavailableError):
            await store.check()


async def test_a_token_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    async with answering(tmp_path, http("204 No Content")) as store:
        (tmp_path / "token").chmod(0o644)
        with pytest.raises(StoreUnavailableError, match="chmod 600"):
            await store.check()


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (StoreConfig(), "kind sqlite needs path"),
        (StoreConfig(kind="influxdb", url="http://x"), "kind influxdb needs org, token_file"),
        (
            StoreConfig(kind="influxdb", url="http://x", org="o", token_file="t", bucket="shared"),
            "needs tenant",
        ),
    ],
)
def test_a_store_says_what_its_configuration_lacks(config: StoreConfig, missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        open_store(config)
