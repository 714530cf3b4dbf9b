"""Stand-ins for the systems that own rollouts: they keep state, and hold every request against the published API description.

A request that a description does not have fails the test. Kubernetes, Argo Rollouts and Flux have no stand-in's description: they are
met at a real API server (tests/integration/test_owners_cluster.py).
"""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from analytics.rollback.owners.owner import Answer, Order, Owner, Request
from tests.owner_apis import Operation, mistakes
from tests.rollback_orders import order_of


class Server(ABC):
    """One owner's API with a rollout of the bad release under way."""

    owner: Owner
    object: dict[str, str]
    described: list[Operation] | None = None

    def __init__(self) -> None:
        self.log: list[Request] = []

    def order(self, devices: int = 3) -> Order:
        return order_of(self.object, "owner", devices)

    def handle(self, request: Request) -> Answer:
        self.log.append(request)
        wrong = self.mistakes(request)
        assert not wrong, f"{request.method} {request.path}: {'; '.join(wrong)}"
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        # As on the wire: what the server keeps is never what the caller holds.
        body = json.loads(json.dumps(request.body))
        return copy.deepcopy(self.answer(request.method, unquote(parts.path), query, body, request.content_type))

    def mistakes(self, request: Request) -> list[str]:
        return mistakes(self.described, request) if self.described is not None else []

    @abstractmethod
    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer: ...

    @abstractmethod
    def is_back(self) -> bool:
        """Whether the bad release goes no further and what this owner can undo is undone, once."""


def unexpected(method: str, path: str) -> Answer:
    return Answer(status=405, body={"message": f"{method} {path} is not in the API description"})
