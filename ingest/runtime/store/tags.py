"""How a series is named in InfluxDB: its tags, and the way back from a tag to a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.runtime.store.detail_fields import DETAIL_FIELDS
from ingest.runtime.store.labels import effective_labels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.contract.batch import MetricRow

MEASUREMENT = "rollups"

INTEGER_FIELDS = ("count", "revision", "width")
FLOAT_FIELDS = ("last", "max", "mean", "min", "sum", "sumsq")
FIELDS = tuple(sorted(INTEGER_FIELDS + FLOAT_FIELDS))

LABEL_COUNT = "labels"
"""The tag that holds how many labels a series has.

A delete predicate cannot say "has no such tag" (InfluxDB 2.7 takes `core=""` for no match), so without it removing a
window of a series would remove those of every series that has the same labels and more.
"""

_OURS = frozenset({"site", "device", "metric", LABEL_COUNT, *FIELDS, *DETAIL_FIELDS})
_RESERVED = _OURS | {"time", "result", "table"}
_PREFIX = "label_"


def tag_of_label(name: str) -> str:
    """The tag key of a label: its name, with `label_` before one that InfluxDB, Flux or our own tags have taken."""
    taken = name in _RESERVED or name.startswith(("_", _PREFIX))
    return stored_text(_PREFIX + name if taken else name)


def label_of_tag(tag: str) -> str:
    """The label that `tag_of_label` made a tag of."""
    return tag.removeprefix(_PREFIX)


def label_tags(labels: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Tags of a metric's labels."""
    return {tag_of_label(name): stored_text(value) for name, value in effective_labels(labels)}


def metric_tags(metric: MetricRow) -> dict[str, str]:
    """Tags of a series that its metric decides: all but site and device."""
    tags = label_tags(metric.labels)
    return tags | {LABEL_COUNT: str(len(tags)), "metric": stored_text(metric.name)}


def series_tags(site: str, device: str, metric: MetricRow) -> dict[str, str]:
    """All tags of a series."""
    return metric_tags(metric) | {"site": site, "device": device}


def is_label(tag: str) -> bool:
    """Whether a tag key in an answer stands for a label."""
    return bool(tag) and tag not in _RESERVED and not tag.startswith("_")


def stored_text(text: str) -> str:
    """A tag's key or value as InfluxDB keeps it."""
    # Line protocol cannot end a key or value with a backslash; like influxdb-client, end it with a space instead.
    return text[:-1] + " " if text.endswith("\\") else text
