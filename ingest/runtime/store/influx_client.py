"""The requests that we make of InfluxDB, through influxdb-client's asynchronous API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from influxdb_client.client import influxdb_client_async
from influxdb_client.domain import dialect
from influxdb_client.service import users_service, write_service

from ingest.runtime.secrets import read_secret

if TYPE_CHECKING:
    from ingest.runtime.store.config import StoreConfig

# The client ships `py.typed` and hardly a type: it is Any here, so that what leaves this module is typed.
_CLIENT: Any = influxdb_client_async.InfluxDBClientAsync
_WRITE_SERVICE: Any = write_service.WriteService
_USERS_SERVICE: Any = users_service.UsersService
_DIALECT: Any = dialect.Dialect


class InfluxClient:
    """One connection pool, made within a running event loop. Raises SecretError when the token cannot be read."""

    def __init__(self, config: StoreConfig) -> None:
        self._org = config.org
        self._client = _CLIENT(
            config.url,
            token=read_secret(config.token_file),
            org=config.org,
            timeout=round(config.timeout_s * 1000),
            ssl_ca_cert=config.ca_file or None,
        )

    async def write(self, bucket: str, body: bytes, encoding: str) -> int:
        """POST /api/v2/write with timestamps in ms, the body as it is: the status of a success."""
        # The client's own gzip is level 9, which costs ten times what building the lines does.
        _, status, _ = await _WRITE_SERVICE(self._client.api_client).post_write_async(
            org=self._org,
            bucket=bucket,
            body=body,
            precision="ms",
            content_encoding=encoding,
            content_type="text/plain; charset=utf-8",
            async_req=False,
            _return_http_data_only=False,
        )
        return int(status)

    async def delete(self, bucket: str, predicate: str, first: str, last: str) -> None:
        """POST /api/v2/delete: both ends (RFC 3339) belong to what is deleted."""
        await self._client.delete_api().delete(first, last, predicate, bucket, self._org)

    async def query(self, text: str) -> str:
        """POST /api/v2/query: the answer as CSV without annotations."""
        bare = _DIALECT(header=True, delimiter=",", annotations=[], comment_prefix="#", date_time_format="RFC3339")
        return str(await self._client.query_api().query_raw(text, self._org, bare))

    async def identify(self) -> None:
        """GET /api/v2/me: whether the token is known."""
        await _USERS_SERVICE(self._client.api_client).get_me_async()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
