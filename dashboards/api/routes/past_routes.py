"""Verdicts, what became of alerts, the audit log, what happened to devices, and what could not be taken: the newest first."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from litestar import get
from litestar.params import FromPath, FromQuery, QueryParameter

from dashboards.api.answers import MOST, Page, cursor_of, key_of, number_of
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, view_of
from dashboards.api.guards import needs
from dashboards.api.past import DeadLetterView, Recent
from dashboards.api.problems import unknown
from dashboards.api.rollouts import RolloutVerdict, verdict_view
from ingest.contract.events import AlertEvent, AlertState, AuditEntry, DeviceChange, DeviceEvent, Outcome

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]
T = TypeVar("T")


@get("/v1/verdicts", opt=needs(Scope.READ), tags=["rollouts"], sync_to_thread=False)
def verdicts(
    request: ApiRequest, verdict: FromQuery[Outcome | None] = None, limit: Limit = 200, cursor: FromQuery[str] = ""
) -> Page[RolloutVerdict]:
    """The verdict of each rollout that has one, the newest first."""
    after = key_of(cursor, 2)
    known = (one.verdict for one in view_of(request).rollouts.values() if one.verdict is not None)
    chosen = sorted((-one.since, one.rollout, one) for one in known if verdict in (None, one.verdict))
    if after is not None:
        chosen = [item for item in chosen if item[:2] > (number_of(after[0]), after[1])]
    last = chosen[limit - 1] if len(chosen) > limit else None
    return Page(
        data=[RolloutVerdict(rollout=name, verdict=verdict_view(one)) for _, name, one in chosen[:limit]],
        next=cursor_of(str(last[0]), last[1]) if last else "",
    )


@get("/v1/alerts/{fingerprint:str}/history", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def history_of_alert(
    request: ApiRequest, fingerprint: FromPath[str], limit: Limit = 200, cursor: FromQuery[str] = ""
) -> Page[AlertEvent]:
    """Every change of one alert as far as it is kept here, with its reason and who made it, the newest first."""
    view = view_of(request)

    def wanted(change: AlertEvent) -> bool:
        return change.fingerprint == fingerprint

    found = _newest(view.alert_history, wanted, limit, cursor)
    if not found.data and not cursor and view.alerts.get(fingerprint) is None:
        raise unknown("alert", fingerprint)
    return found


@get("/v1/alert-history", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def alert_history(
    request: ApiRequest,
    *,
    rule: FromQuery[str] = "",
    alert_state: Annotated[AlertState | None, QueryParameter(name="state")] = None,
    since: FromQuery[int] = 0,
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[AlertEvent]:
    """Every change of alerts at or after `since` (ms), of one `rule` or into one `state`, the newest first, as far as it is kept here."""

    def wanted(change: AlertEvent) -> bool:
        return rule in ("", change.name) and alert_state in (None, change.state) and change.changed_at >= since

    return _newest(view_of(request).alert_history, wanted, limit, cursor)


@get("/v1/audit", opt=needs(Scope.READ), tags=["rollouts"], sync_to_thread=False)
def audit(
    request: ApiRequest,
    *,
    rollout: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[AuditEntry]:
    """Who did what about rollouts, the newest first, as far as it is kept here; `tidegate audit verify` checks the whole chain."""

    def wanted(entry: AuditEntry) -> bool:
        return rollout in ("", entry.rollout) and kind in ("", entry.kind)

    return _newest(view_of(request).audit, wanted, limit, cursor)


@get("/v1/changes", opt=needs(Scope.READ), tags=["fleet"], sync_to_thread=False)
def changes(
    request: ApiRequest,
    *,
    site: FromQuery[str] = "",
    device: FromQuery[str] = "",
    change: FromQuery[DeviceChange | None] = None,
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[DeviceEvent]:
    """What happened to devices: installs, reboots, silence and return, each with what was known after it; the newest 10,000 of the tenant.

    After a restart those that the log still has: a compacted topic keeps the newest of each device.
    """

    def wanted(event: DeviceEvent) -> bool:
        return site in ("", event.site) and device in ("", event.device) and change in (None, event.change)

    return _newest(view_of(request).changes, wanted, limit, cursor)


@get("/v1/dead-letters", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def dead_letters(
    request: ApiRequest,
    *,
    site: FromQuery[str] = "",
    reason: FromQuery[str] = "",
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[DeadLetterView]:
    """What could not be taken of the tenant's gateways, with the reason, the newest first.

    Only what a known gateway has signed is anybody's; the rest is for who runs the centre: `tidegate dead list`.
    """

    def wanted(letter: DeadLetterView) -> bool:
        return site in ("", letter.site) and reason in ("", letter.reason)

    return _newest(view_of(request).dead_letters, wanted, limit, cursor)


def _newest(things: Recent[T], wanted: Callable[[T], bool], limit: int, cursor: str) -> Page[T]:
    after = key_of(cursor, 1)
    found = things.page(number_of(after[0]) if after else None, limit + 1, wanted)
    more = len(found) > limit
    return Page(data=[thing for _, thing in found[:limit]], next=cursor_of(str(found[limit - 1][0])) if more else "")
