"""The demo looks at the system as anybody would: through its API."""

from __future__ import annotations

from typing import Any

import httpx

READ_S = 60.0
"""An overloaded machine answers late; what is awaited has patience of its own."""


class ApiClient:
    """A few reads and one write of the public API. Raises httpx.HTTPError."""

    def __init__(self, address: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=READ_S, trust_env=False
        )

    async def get(self, path: str) -> Any:
        """The `data` of one resource."""
        answer = await self._read(path)
        answer.raise_for_status()
        return answer.json()["data"]

    async def items(self, path: str) -> list[dict[str, Any]]:
        """The first page of a list."""
        return list(await self.get(path))

    async def find(self, path: str) -> dict[str, Any]:
        """One resource, empty while there is none."""
        answer = await self._read(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return {}
        answer.raise_for_status()
        return dict(answer.json()["data"])

    async def start_rollout(self, plan: dict[str, Any]) -> None:
        """Create a rollout plan."""
        answer = await self._http.post("/v1/rollouts", json=plan)
        answer.raise_for_status()

    async def _read(self, path: str) -> httpx.Response:
        try:
            return await self._http.get(path)
        except httpx.TransportError:  # the server closes a connection that has long been idle, perhaps at this moment
            return await self._http.get(path)

    async def close(self) -> None:
        """Release the connections."""
        await self._http.aclose()
