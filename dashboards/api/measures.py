"""The API's own metrics."""

from __future__ import annotations

from ingest.contract.names import MetricSpec

API_REQUESTS = MetricSpec("tidegate_api_requests_total", "counter", ("status",), "Requests by the answer's status.")
API_DENIED = MetricSpec(
    "tidegate_api_denied_total",
    "counter",
    ("reason",),
    "Requests without a known token (`token`) or without the scope that they need (`scope`).",
    "A rising `token` is somebody guessing, or a client whose token was taken back.",
)
API_RECORDS = MetricSpec(
    "tidegate_api_records_total",
    "counter",
    ("topic", "outcome"),
    "Records read for the API's views: taken, stale, full, or the reason for which they were passed over.",
    "`full` means that a `*_kept` limit of the API's configuration is reached.",
)
API_STREAMS = MetricSpec("tidegate_api_streams", "gauge", (), "Open event streams.")
FLEET_DEVICES = MetricSpec(
    "tidegate_fleet_devices",
    "gauge",
    ("site", "state"),
    "Devices by site and state; like every `tidegate_fleet_` and `tidegate_rollout_` metric, of the asking token's tenant.",
)
FLEET_SITES = MetricSpec(
    "tidegate_fleet_sites",
    "gauge",
    ("state",),
    "Sites by what the centre hears of them: live, behind, cut_off, dark, unheard.",
)
FLEET_BACKLOG = MetricSpec(
    "tidegate_fleet_backlog_bytes", "gauge", ("site",), "Bytes that wait at the site's gateways, as they last said."
)
FLEET_ALERTS = MetricSpec("tidegate_fleet_alerts", "gauge", ("state", "severity"), "Alerts by state and severity.")
FLEET_INCIDENTS = MetricSpec(
    "tidegate_fleet_incidents",
    "gauge",
    ("state",),
    "Incidents that go on, by state: open, growing (it reached another device within the last minutes).",
    "Read the runbook Incident, or the incident's page.",
)
FLEET_ROLLOUTS = MetricSpec("tidegate_fleet_rollouts", "gauge", ("state",), "Rollouts by the state of their plan.")
ROLLOUT_STATE = MetricSpec(
    "tidegate_rollout_state",
    "gauge",
    ("rollout", "state"),
    "1 for the state of a rollout's plan (running, paused, ended), 0 for the others; of the newest rollouts.",
)
ROLLOUT_VERDICT = MetricSpec(
    "tidegate_rollout_verdict",
    "gauge",
    ("rollout", "verdict"),
    "1 for the gate's present verdict of a rollout, 0 for the others; of the newest rollouts.",
    "`fail`: read the runbook RolloutFailed, or the rollout's page.",
)
ROLLOUT_EVIDENCE = MetricSpec(
    "tidegate_rollout_log10_e",
    "gauge",
    ("rollout",),
    "Logarithm (base 10) of a rollout's e-value against harmlessness; a fail is where it reaches the threshold.",
)
ROLLOUT_THRESHOLD = MetricSpec(
    "tidegate_rollout_log10_e_threshold",
    "gauge",
    ("rollout",),
    "What tidegate_rollout_log10_e has to reach for a fail: log10(1/alpha).",
)
ROLLOUT_DEVICES = MetricSpec(
    "tidegate_rollout_devices",
    "gauge",
    ("rollout", "arm"),
    "Devices of a rollout by arm: canary, control, and while it is rolled back commanded, done, recovered, unreachable, refused.",
)
