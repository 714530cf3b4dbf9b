"""A centre about which everything is known, beside another tenant of which nothing may be seen."""

from __future__ import annotations

from ingest.contract.events import AlertState, DeviceState, Outcome
from tests.api_centre import Centre
from tests.api_records import (
    Gateway,
    account_record,
    alert_record,
    anomaly_record,
    incident_record,
    maintenance_record,
    silence_record,
)
from tests.api_rollouts import audit_record, plan_record, rollback_record, verdict_record

NORTH, SOUTH = Gateway("acme", "north"), Gateway("other", "south")


async def fill(centre: Centre) -> None:
    now = centre.clock.now_ms()
    await centre.put(
        NORTH.device("pump-1"),
        NORTH.device("pump-2", state=DeviceState.SILENT, firmware="2.3.0"),
        NORTH.heartbeat(now),
        SOUTH.device("secret-device"),
        plan_record(),
        verdict_record(outcome=Outcome.FAIL, log10_e=1.7, e_value=50.1),
        rollback_record(),
        plan_record("theirs", tenant="other"),
        alert_record(),
        alert_record("f2", tenant="other"),
        alert_record("f3", state=AlertState.RESOLVED),
        anomaly_record(),
        anomaly_record("secret-device", tenant="other"),
        incident_record(),
        incident_record("inc-theirs", tenant="other"),
        silence_record(),
        silence_record("s-theirs", tenant="other"),
        maintenance_record(),
        maintenance_record("w-theirs", tenant="other"),
        audit_record(),
        audit_record(1, tenant="other", rollout="theirs"),
        NORTH.dead_letter(),
        SOUTH.dead_letter(),
        account_record(),
        account_record(tenant="other", site="south"),
    )
    await centre.eventually("/v1/ledger", lambda answer: answer["data"]["accounts"])
    await centre.eventually("/v1/ledger", lambda answer: answer["data"]["accounts"], "other")
    for tenant in ("acme", "other"):
        for path in ("/v1/silences", "/v1/maintenance", "/v1/audit", "/v1/dead-letters"):
            await centre.eventually(path, lambda answer: answer["data"], tenant)
    await centre.eventually("/v1/anomalies", lambda answer: answer["data"])
    await centre.eventually("/v1/incidents", lambda answer: answer["data"])
    await centre.eventually("/v1/alerts?state=resolved", lambda answer: answer["data"])
    await centre.eventually("/v1/rollouts/fw-2.3.0", lambda answer: "rollback" in answer["data"])
