"""What people of several tenants have made, bounded so that no tenant takes another's room."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


class Named(Protocol):
    """Of one tenant, called by an id of its own."""

    @property
    def id(self) -> str:
        """Its name among those of its tenant."""
        ...

    @property
    def tenant(self) -> str:
        """Whose it is."""
        ...


T = TypeVar("T", bound=Named)


class Bounds(NamedTuple):
    """How many are kept of each tenant, and of all of them together."""

    each: int
    all: int


class ByTenant(Generic[T]):
    """By tenant and id. Where there are too many, the tenant that has most gives up the one whose `worth` is least."""

    def __init__(self, bounds: Bounds, worth: Callable[[T], int | tuple[int, int]]) -> None:
        self._bounds, self._worth = bounds, worth
        self._kept: dict[str, dict[str, T]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(theirs.values() for theirs in self._kept.values())

    def of(self, tenant: str) -> Mapping[str, T]:
        """Those of a tenant, by id."""
        return self._kept.get(tenant, {})

    def put(self, one: T) -> list[T]:
        """It is new, or takes the place of what its tenant called so. What is kept no more for it: it may be itself."""
        theirs = self._kept.setdefault(one.tenant, {})
        gone = [theirs[one.id]] if one.id in theirs else []
        theirs[one.id] = one
        if len(theirs) > self._bounds.each or len(self) > self._bounds.all:
            # Of several that have as many, the one that wants more.
            most = max(self._kept.values(), key=lambda some: (len(some), some is theirs))
            gone.append(most.pop(min(most.values(), key=self._worth).id))
        return gone

    def keep(self, those: Iterable[T]) -> None:
        """Only those."""
        self._kept = {}
        for one in those:
            self._kept.setdefault(one.tenant, {})[one.id] = one

    def named(self) -> dict[str, T]:
        """All, each called `{tenant}/{id}`."""
        return {f"{one.tenant}/{one.id}": one for one in self}
