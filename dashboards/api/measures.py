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
