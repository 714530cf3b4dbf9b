"""The ways in which a release may be bad that `rollout power` simulates, and which guard is there for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ingest.contract.events import Guard, GuardKind

if TYPE_CHECKING:
    from collections.abc import Sequence


class Harm(NamedTuple):
    """One way in which a release may be bad, and how to simulate it."""

    name: str
    kind: GuardKind
    change: dict[str, Any]


HARMS = (
    Harm("crash rate x1.5", GuardKind.CRASH, {"crash_ratio": 1.5}),
    Harm("crash rate x2", GuardKind.CRASH, {"crash_ratio": 2.0}),
    Harm("crash rate x5", GuardKind.CRASH, {"crash_ratio": 5.0}),
    Harm("1 % bricked", GuardKind.SILENCE, {"bricked": 0.01}),
    Harm("2 % bricked", GuardKind.SILENCE, {"bricked": 0.02}),
    Harm("5 % bricked", GuardKind.SILENCE, {"bricked": 0.05}),
    Harm("alarm rate x2", GuardKind.ALARM, {"alarm_ratio": 2.0}),
    Harm("alarm rate x5", GuardKind.ALARM, {"alarm_ratio": 5.0}),
    Harm("5 % of updates fail", GuardKind.UPDATE, {"update_failed": 0.05}),
    Harm("20 % of updates fail", GuardKind.UPDATE, {"update_failed": 0.2}),
    Harm("50 % of updates fail", GuardKind.UPDATE, {"update_failed": 0.5}),
    Harm("soaked value +5 %", GuardKind.SOAK, {"latency": 1.05}),
    Harm("soaked value +10 %", GuardKind.SOAK, {"latency": 1.1}),
    Harm("soaked value +25 %", GuardKind.SOAK, {"latency": 1.25}),
)


def harm_named(name: str, guards: Sequence[Guard]) -> Harm:
    """The harm of that name. Raises ValueError that names those that the guards can see."""
    kinds = {guard.kind for guard in guards}
    seen = [harm for harm in HARMS if harm.kind in kinds]
    for harm in seen:
        if harm.name == name:
            return harm
    raise ValueError(f"found {name!r}, expected one of {', '.join(repr(harm.name) for harm in seen)}")


def is_simulated(guard: Guard, guards: Sequence[Guard]) -> bool:
    """Whether the simulated fleet has what the guard watches: it has one soaked value; a second one would only repeat it."""
    soaks = [other for other in guards if other.kind is GuardKind.SOAK]
    seen = (GuardKind.CRASH, GuardKind.SILENCE, GuardKind.ALARM, GuardKind.UPDATE)
    return guard.kind in seen or guard in soaks[:1]
