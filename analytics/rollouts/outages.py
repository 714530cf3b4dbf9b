"""Sites that go dark: when all of a site's devices in both arms fall silent together, that is the site's doing, not the release's.

A silence is told `outage_s` after it began: by then it is known whether every device of the rollout that was there has fallen
silent within that time of it. If so, all of them leave as censored. `outage_s` after the first of them was heard again all are
enrolled anew, in a wave of their own, and who is still silent then counts as silent: what does not survive a power cut
does not vanish in it. Nothing of this asks for an arm but that both have devices there, so the arms stay exchangeable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from analytics.rollouts.enrolment import begin
from analytics.rollouts.evidence import is_sign_of_life
from analytics.rollouts.facts import Fact, FactKind
from ingest.contract.events import EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analytics.rollouts.evidence import History
    from analytics.rollouts.rollout import Rollout, Row


def put_off_silence(rollout: Rollout, history: History, fact: Fact, detail: str) -> None:
    """A device fell silent: it is told when it would be known that its whole site did."""
    history.told_at = fact.at + outage_ms(rollout)
    rollout.put_off(_due(fact.site, fact.device, history.told_at, trace=fact.trace, reason=detail))


def tell_silence(rollout: Rollout, history: History, fact: Fact) -> list[Row]:
    """A silence's time has come: it is evidence, or its site is dark and all of its devices leave."""
    if history.left or history.told_at != fact.at:
        return []
    group = list(_there(rollout, fact.site))
    if not _is_outage(group, history.silent_at, outage_ms(rollout)):
        history.told_at = 0
        return [rollout.row(history, EvidenceKind.SILENT, fact.at, fact.trace, fact.reason)]
    rollout.outages[fact.site] = 0
    for one in group:
        one.left = one.dark = True
    return [
        rollout.row(one, EvidenceKind.CENSORED, fact.at, fact.trace, "site outage: all devices in both arms are silent")
        for one in group
    ]


def note_return(rollout: Rollout, history: History, fact: Fact) -> None:
    """Something was heard of a device whose site is dark."""
    if fact.kind is FactKind.RETIRED:
        history.dark = False
    elif is_sign_of_life(fact) and rollout.outages.get(fact.site) == 0:
        at = rollout.outages[fact.site] = fact.at + outage_ms(rollout)
        rollout.put_off(Fact(at, FactKind.OUTAGE_OVER, fact.site, "", trace=fact.trace))


def end_outage(rollout: Rollout, site: str, at: int) -> list[Row]:
    """The devices of a site had time to come back: they are enrolled anew at `at` (ms), in a wave of their own."""
    group = [history for history in rollout.histories.values() if history.site == site and history.dark]
    # It went dark again: we wait on.
    if all(history.absent for history in group):
        rollout.outages[site] = 0
        return []
    del rollout.outages[site]
    rollout.stages[site] = (rollout.stages[site][0], at)
    return [begin(rollout, _anew(rollout, history, at)) for history in group]


def outage_ms(rollout: Rollout) -> int:
    """How far apart (ms) the silences of an outage may be; 0 when none is ever seen."""
    return round(rollout.plan.outage_s * 1000)


def _there(rollout: Rollout, site: str) -> Iterable[History]:
    # Whoever could still be told to be silent.
    ours = (history for history in rollout.histories.values() if history.site == site and not history.left)
    return (history for history in ours if not history.silent or history.told_at)


def _is_outage(group: list[History], at: int, apart: int) -> bool:
    together = all(one.silent_at and abs(one.silent_at - at) <= apart for one in group)
    return together and len({one.arm for one in group}) > 1


def _anew(rollout: Rollout, history: History, at: int) -> History:
    wave, _, outages = history.wave.partition("+")
    gone = history.absent
    if gone:
        rollout.put_off(_due(history.site, history.device, at + 1, rollout.trace, "not back after its site's outage"))
    return structs.replace(
        history,
        enrolled_at=at,
        wave=f"{wave}+{int(outages or 0) + 1}",
        grace_until=0,
        silent_in_grace=False,
        crashed=False,
        silent=gone,
        told_at=at + 1 if gone else 0,
        silent_at=history.silent_at if gone else 0,
        alarmed=False,
        left=False,
        dark=False,
    )


def _due(site: str, device: str, at: int, trace: str, reason: str) -> Fact:
    return Fact(at, FactKind.SILENCE_TOLD, site, device, trace=trace, reason=reason)
