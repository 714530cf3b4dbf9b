"""Every Prometheus metric of ours: name, kind, labels, meaning and remedy, in one list that the documents are made from."""

from __future__ import annotations

from typing import Literal, NamedTuple


class MetricSpec(NamedTuple):
    """A metric as it is exported; never a device id as a label."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    remedy: str = ""


EDGE_MESSAGES = MetricSpec(
    "tidegate_edge_messages_total", "counter", ("receiver",), "Messages of devices, committed and acknowledged."
)
EDGE_SAMPLES = MetricSpec(
    "tidegate_edge_samples_total",
    "counter",
    ("outcome", "reason"),
    "Samples by what became of them: received, rolled_up, duplicate, rejected, dropped. What was rolled up and is dropped"
    " before it was sent is dropped; rolled_up stands still for as many.",
    "A rising `rejected` names its reason; `tidegate dead list` shows the payloads.",
)
EDGE_OPEN_SAMPLES = MetricSpec("tidegate_edge_open_samples", "gauge", (), "Samples in windows that are still open.")
EDGE_JOURNAL_BYTES = MetricSpec("tidegate_edge_journal_bytes", "gauge", (), "Bytes of the journal on disk.")
EDGE_QUARANTINED = MetricSpec(
    "tidegate_edge_quarantined_blocks_total",
    "counter",
    (),
    "Blocks of the journal that were found damaged.",
    "The disk forgets: copy the data folder while it can be read, replace the disk; the ledger counts what was lost.",
)
EDGE_LIMIT_BYTES = MetricSpec(
    "tidegate_edge_limit_bytes", "gauge", ("room",), "How large the journal and the outbox may become."
)
EDGE_COMMIT_SECONDS = MetricSpec(
    "tidegate_edge_journal_commit_seconds",
    "histogram",
    (),
    "Time of one journal commit, fsync included.",
    "A slow disk delays acknowledgements: move the journal to better storage.",
)
EDGE_OUTBOX_BYTES = MetricSpec(
    "tidegate_edge_outbox_bytes", "gauge", (), "Bytes waiting for Kafka.", "The uplink is down or too slow."
)
EDGE_OUTBOX_RECORDS = MetricSpec("tidegate_edge_outbox_records", "gauge", (), "Records waiting for Kafka.")
EDGE_OLDEST_UNSENT = MetricSpec(
    "tidegate_edge_oldest_unsent_seconds",
    "gauge",
    (),
    "For how long the record that waits longest has waited; 0 when nothing waits.",
    "The uplink is down (see /readyz), or a backlog drains: the rate of tidegate_edge_sent_bytes_total says how fast.",
)
EDGE_SENT_BYTES = MetricSpec(
    "tidegate_edge_sent_bytes_total",
    "counter",
    (),
    "Bytes of records that Kafka has acknowledged, before compression: its rate is the drain rate.",
)
EDGE_LAG_SECONDS = MetricSpec(
    "tidegate_edge_lag_seconds",
    "histogram",
    (),
    "From the end of a flush's newest window to its acknowledgement by Kafka; backlog of an earlier life is left out.",
    "Above two windows: the uplink is slow, or the gateway is overloaded (see the commit time).",
)
EDGE_DEVICES = MetricSpec("tidegate_edge_devices", "gauge", ("state",), "Devices of the site by state.")
EDGE_COMMANDS = MetricSpec(
    "tidegate_edge_commands_total", "counter", ("outcome",), "Commands by what became of them at this gateway."
)
EDGE_CONFLICTS = MetricSpec(
    "tidegate_edge_conflicts_total",
    "counter",
    (),
    "Samples whose identity had come with another value; the greater value was kept.",
    "A device sends two values under one timestamp: give it a finer clock.",
)
EDGE_EVENTS_REJECTED = MetricSpec(
    "tidegate_edge_events_rejected_total", "counter", ("reason",), "State messages and acknowledgements not taken."
)
EDGE_OVERFLOW = MetricSpec(
    "tidegate_edge_overflow_samples_total",
    "counter",
    ("reason",),
    "Samples counted in the overflow series of their device: too many series, samples or bytes of one device.",
    "`tidegate edge status` names the devices: mend them, or raise `edge.quotas`.",
)
CONFIG_RELOADS = MetricSpec(
    "tidegate_config_reloads_total",
    "counter",
    ("result",),
    "Times that the configuration was read again: applied, unchanged, refused (it needs a restart), broken.",
    "The process says on standard error what was wrong; the configuration before it stays in force.",
)
EDGE_ALARMS = MetricSpec(
    "tidegate_edge_alarms", "gauge", ("rule", "state"), "Alarms of the site's own rules that are pending or firing."
)
EDGE_ALARM_DELIVERIES = MetricSpec(
    "tidegate_edge_alarm_deliveries_total",
    "counter",
    ("target", "outcome"),
    "Tries to tell the site of an alarm, by target (mqtt, webhook) and outcome: delivered, retried, refused, dropped.",
    "`retried` goes on until the target is back; `refused`: see what the receiver answers; `dropped`: it was away too long.",
)
EDGE_SERIES = MetricSpec("tidegate_edge_series", "gauge", (), "Series that have a place in the dictionary.")
EDGE_SKEWED = MetricSpec(
    "tidegate_edge_skewed_samples_total",
    "counter",
    (),
    "Samples from the future, held to their arrival time.",
    "A device's clock runs ahead: give it NTP.",
)
EDGE_PULLS = MetricSpec(
    "tidegate_edge_sample_requests_total",
    "counter",
    ("outcome",),
    "Requests for raw samples by what became of them here: answered, or why not.",
    "`bad_signature` and `unknown_key`: somebody asks who may not; see edge.recorder.keys.",
)
EDGE_PULLED_SAMPLES = MetricSpec(
    "tidegate_edge_pulled_samples_total", "counter", (), "Raw samples sent because they were asked for."
)
EDGE_CLOCKS = MetricSpec(
    "tidegate_edge_clock_offset_seconds",
    "gauge",
    ("level",),
    "How far devices' clocks are ahead of the gateway's, as quantiles over the devices by `level`; negative: behind.",
    "Give the devices NTP; device events name each device's own offset.",
)
INGEST_BATCHES = MetricSpec(
    "tidegate_ingest_batches_total",
    "counter",
    ("outcome", "reason"),
    "Batches by what became of them: stored, duplicate, dead.",
    "`tidegate dead list` explains dead letters and replays them.",
)
INGEST_ROWS = MetricSpec(
    "tidegate_ingest_rows_total",
    "counter",
    ("outcome",),
    "Windows stored, superseded, removed or refused by the store.",
)
INGEST_STORE_SECONDS = MetricSpec(
    "tidegate_ingest_store_seconds",
    "histogram",
    (),
    "Time in which the store took one batch, waiting for a store that was away included; exemplars name the trace.",
    "A slow store holds up the partition: see its own metrics, or give ingest more processes.",
)
INGEST_FORGOTTEN = MetricSpec(
    "tidegate_ingest_forgotten_windows_total",
    "counter",
    (),
    "Corrected windows that were forgotten while older batches of their gateway were still missing.",
    "A batch that arrives after all may bring an older revision back: see why batches are missing.",
)
INGEST_GAPS = MetricSpec(
    "tidegate_ingest_missing_batches",
    "gauge",
    ("tenant", "site"),
    "Batches missing below the highest seq received.",
    "Late is not missing until the gateway says so; a gap that stays is a loss: read the gateway's ledger.",
)
INGEST_LEDGER_BROKEN = MetricSpec(
    "tidegate_ingest_ledger_breaches",
    "gauge",
    ("tenant", "site"),
    "Gateways whose account does not balance or whose chain is broken.",
    "Trust nothing of that gateway until it is explained: its key or its state was tampered with or lost.",
)
HANDOVERS = MetricSpec(
    "tidegate_handovers_total",
    "counter",
    ("stage", "outcome"),
    "States of partitions that were left in the shared folder, taken from there, or could not be (failed).",
    "`failed`: the folder of `analytics.shared_dir` cannot be written, or a file in it is damaged: whoever gets the partition"
    " then continues from its own state, or learns anew.",
)
ANALYTICS_SERIES = MetricSpec("tidegate_analytics_series", "gauge", (), "Series in the series table.")
ANALYTICS_ROWS = MetricSpec("tidegate_analytics_rows_total", "counter", ("outcome",), "Windows seen by the detector.")
ANALYTICS_ASKED = MetricSpec(
    "tidegate_analytics_asked_false_alerts",
    "gauge",
    (),
    "Alarms per 1,000 series and day that are allowed where nothing is wrong.",
)
ANALYTICS_OBSERVED = MetricSpec(
    "tidegate_analytics_observed_alerts",
    "gauge",
    (),
    "Alarms per 1,000 series and day that have begun since the process did, true ones among them.",
    "Far above the rate asked for: something is wrong with many devices, or with what is taken for normal;"
    " `tidegate anomaly list` shows which.",
)
ANALYTICS_SERIES_SECONDS = MetricSpec(
    "tidegate_analytics_judged_series_seconds_total",
    "counter",
    (),
    "Series times seconds that were judged: alarms that began over this are the rate of any stretch.",
)
ANALYTICS_ANOMALIES = MetricSpec(
    "tidegate_analytics_anomalies_total", "counter", ("detector", "status"), "Anomalies by detector and status."
)
COHORTS_KNOWN = MetricSpec("tidegate_cohorts", "gauge", (), "Cohorts over sites that are looked at.")
COHORT_SUMMARIES = MetricSpec(
    "tidegate_cohort_summaries_total",
    "counter",
    ("outcome",),
    "What sites said of cohorts: taken, late (its slot was decided), full (no room to wait), no_room (cohorts beyond"
    " `detect.max_cohorts`).",
)
RULE_SERIES = MetricSpec("tidegate_rule_series", "gauge", (), "Series that rules look at.")
RULE_ROWS = MetricSpec(
    "tidegate_rule_rows_total",
    "counter",
    ("outcome",),
    "Windows that no rule judged: historical, no_room (raise `alerts.max_series`).",
)
RULE_CONDITIONS = MetricSpec(
    "tidegate_rule_conditions_total", "counter", ("rule", "status"), "What rules said of series, by rule and status."
)
ANALYTICS_WITHHELD = MetricSpec(
    "tidegate_analytics_withheld_anomalies_total",
    "counter",
    (),
    "Anomalies that were not told because people said that they are normal.",
    "`tidegate anomaly said` lists what people said; `tidegate anomaly undo` takes it back.",
)
ANALYTICS_FEEDBACK = MetricSpec(
    "tidegate_analytics_feedback", "gauge", ("scope",), "What people said is normal and has not been undone, by scope."
)
ALERTS_ACTIVE = MetricSpec("tidegate_alerts_active", "gauge", ("state",), "Alerts by state.")
ALERTS_PASSED_OVER = MetricSpec(
    "tidegate_alerts_passed_over_total",
    "counter",
    ("name",),
    "Conditions that became no alert because those that live take `alerts.alert_bytes`, by the alert's name.",
    "A rule that matches nearly everything, or a bound that is too small; what still holds is taken when it is said again.",
)
ALERT_DELIVERIES = MetricSpec(
    "tidegate_alert_deliveries_total",
    "counter",
    ("receiver", "outcome"),
    "Notifications by outcome: delivered, retried, refused, parted (a refused group sent singly), repeat_failed.",
    "A receiver that refuses or is away: `/readyz` says why; nothing is lost, deliveries wait.",
)
ALERT_CURVES = MetricSpec(
    "tidegate_alert_curves_total",
    "counter",
    ("outcome",),
    "Curves for notifications: drawn, no_windows (the store has none of the series), unavailable (it did not answer in time).",
    "`unavailable`: notifications leave without a curve; see the store.",
)
ALERT_CIRCUIT = MetricSpec(
    "tidegate_alert_circuit_open",
    "gauge",
    ("receiver",),
    "1 while a receiver has failed several times in a row and is tried with one group at a time.",
)
ALERT_OUTBOX = MetricSpec("tidegate_alert_outbox", "gauge", ("receiver",), "Notifications that wait for delivery.")
INCIDENTS_OPEN = MetricSpec("tidegate_incidents_open", "gauge", (), "Incidents that are not over.")
INCIDENT_CHANGES = MetricSpec(
    "tidegate_incident_changes_total",
    "counter",
    ("reason",),
    "Changes of incidents that were written, by their reason.",
)
INCIDENTS_FULL = MetricSpec(
    "tidegate_incidents_passed_over",
    "gauge",
    (),
    "Series that alarmed, and devices, for which incidents had no room.",
    "Raise `analytics.incidents.incident_bytes` or `fleet_bytes`, or find out why so many series alarm at once.",
)
GATE_E_VALUE = MetricSpec(
    "tidegate_gate_log10_e", "gauge", ("rollout",), "Logarithm (base 10) of the rollout's e-value against harmlessness."
)
ROLLBACK_DEVICES = MetricSpec(
    "tidegate_rollback_devices", "gauge", ("rollout", "status"), "Devices of a rollback by status."
)
DEAD_LETTERS = MetricSpec(
    "tidegate_dead_letters_total", "counter", ("topic", "reason"), "Records that could not be taken.", "tidegate dead"
)
WORKER_LAG = MetricSpec("tidegate_worker_lag_seconds", "gauge", ("worker",), "Age of the newest record processed.")

ALL: tuple[MetricSpec, ...] = tuple(value for value in list(globals().values()) if isinstance(value, MetricSpec))
