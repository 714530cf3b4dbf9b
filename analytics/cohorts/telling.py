"""What is said of a cohort's alarm: an anomaly of no single device, of the metric of all devices of a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from analytics.detect.reasons import AnomalyReason
from analytics.detect.round import Change
from analytics.detect.score import calibrated_score
from ingest.contract.events import AnomalyEvent, AnomalyStatus, episode_of

if TYPE_CHECKING:
    from analytics.cohorts.members import Cohort

COHORT_DETECTOR = "cohort_shift"
_STATUS = {Change.ENTERED: AnomalyStatus.ENTERED, Change.CONTINUES: AnomalyStatus.CONTINUES}
_LEFT = {Change.CALMED: AnomalyReason.BACK_TO_NORMAL, Change.NEW_NORMAL: AnomalyReason.NEW_NORMAL}


class Told(NamedTuple):
    """Whom it is told of, and when (ms); what it took: `asked` probability for a slot, the `rate` asked for."""

    tenant: str
    at: int
    asked: float
    rate: float


class Shift(NamedTuple):
    """What a cohort looks like in its devices' scales, since when (ms), and how probable it is that it does by chance."""

    since: int
    shift: float = 0.0
    usual: float = 0.0
    unit: float = 0.0
    probability: float = 1.0
    sites: int = 1
    devices: int = 0


def shift_event(told: Told, name: Cohort, change: Change, found: Shift) -> AnomalyEvent:
    """A change of a cohort's alarm; `NOTHING`: it ends since nothing is heard of the cohort any more."""
    why = AnomalyReason.FORGOTTEN if change is Change.NOTHING else AnomalyReason.COHORT_SHIFT
    event = AnomalyEvent(
        tenant=told.tenant,
        site="",
        device="",
        metric=name.metric,
        labels=labels_of(name),
        status=_STATUS.get(change, AnomalyStatus.LEFT),
        detector=COHORT_DETECTOR,
        at=told.at,
        since=found.since,
        value=_rounded(found.shift),
        expected=_rounded(found.usual),
        scale=_rounded(found.unit),
        score=calibrated_score(found.probability, told.asked),
        tail_probability=_rounded(found.probability),
        promised_rate=told.rate,
        reason=_LEFT.get(change, why),
        firmware=name.firmware,
        hardware=name.hardware,
        sites=found.sites,
        devices=found.devices,
    )
    return msgspec.structs.replace(event, episode=episode_of(event))


def labels_of(name: Cohort) -> tuple[tuple[str, str], ...]:
    """What tells a cohort from others with the same metric."""
    firmware = () if name.family else (("firmware", name.firmware),)
    return (*firmware, ("hardware", name.hardware), ("width_ms", str(name.width)))


def _rounded(number: float) -> float:
    return float(f"{number:.9g}")
