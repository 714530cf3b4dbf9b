"""Another configuration for a gateway that runs: what may change takes effect without a window being lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.aspects import Aspects
from edge_aggregator.config import milliseconds
from edge_aggregator.journal.eviction import Bounds
from edge_aggregator.quotas.rates import Rates
from edge_aggregator.quotas.sweep import Sweeper
from edge_aggregator.rooms import age_of, limits_of, may_ask
from edge_aggregator.widths import Widths
from edge_aggregator.windows.keys import window_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.commands.publisher import Publisher
    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.forward import Signer
    from edge_aggregator.intake import EdgeIntake
    from edge_aggregator.outbox.pace import Pace
    from edge_aggregator.pipeline import Pipeline
    from edge_aggregator.rooms import Rooms
    from edge_aggregator.rules.service import AlarmDelivery

RELOADABLE = frozenset(
    {
        "centre_keys",
        "window_s",
        "metrics",
        "allowed_lateness_s",
        "idle_close_s",
        "future_tolerance_s",
        "max_age_s",
        "lease_s",
        "heartbeat_s",
        "commit_interval_s",
        "commit_bytes",
        "commit_samples",
        "flush_interval_s",
        "intake_bytes",
        "max_payload_bytes",
        "max_series",
        "max_devices",
        "quotas",
        "rules",
        "alarms",
        "journal_bytes",
        "journal_file_bytes",
        "journal_age_s",
        "outbox_bytes",
        "historical_after_s",
        "backlog_bytes_per_s",
        "backlog_patience_s",
        "command_retry_s",
    }
)
"""Settings of `EdgeConfig` that take effect while the gateway runs; all others need a restart."""


def changed(old: EdgeConfig, new: EdgeConfig) -> list[str]:
    """The settings that differ."""
    return [field for field in old.__struct_fields__ if getattr(old, field) != getattr(new, field)]


def fixed(old: EdgeConfig, new: EdgeConfig) -> list[str]:
    """The settings that differ although they cannot while the gateway runs."""
    return [field for field in changed(old, new) if field not in RELOADABLE]


class Shell(NamedTuple):
    """The parts of a running gateway around its core."""

    intake: EdgeIntake
    pipeline: Pipeline
    signer: Signer
    publisher: Publisher
    alarms: AlarmDelivery
    pace: Pace

    def reload(self, config: EdgeConfig) -> None:
        """On the event loop."""
        self.intake.configure(
            most_bytes=config.intake_bytes,
            commit_bytes=config.commit_bytes,
            commit_samples=config.commit_samples,
            interval_s=config.commit_interval_s,
        )
        self.pipeline.flush_s = config.flush_interval_s
        self.signer.historical_after_ms = milliseconds(config.historical_after_s)
        self.publisher.retry_s = config.command_retry_s
        self.pace.configure(most=config.backlog_bytes_per_s, patience_s=config.backlog_patience_s)


def reload_rooms(rooms: Rooms, config: EdgeConfig, keys: Mapping[str, Ed25519PublicKey]) -> None:
    """In the core's thread, between two steps. Nothing here can fail: the configuration was checked as a whole."""
    _names(rooms, config)
    rooms.tables.limits, rooms.tables.rates = limits_of(config), Rates(config.quotas)
    rooms.tables.forget_shapes()  # series may have got a place
    rooms.windows.configure(
        lateness_ms=milliseconds(config.allowed_lateness_s), idle_ms=milliseconds(config.idle_close_s)
    )
    rooms.registry.lease_s = config.lease_s
    rooms.heartbeat_ms = milliseconds(config.heartbeat_s)
    rooms.historical_after_ms = milliseconds(config.historical_after_s)
    rooms.bounds = Bounds(config.journal_bytes, age_of(config))
    rooms.journal.configure(file_bytes=config.journal_file_bytes)
    rooms.room.configure(most_bytes=config.outbox_bytes)
    rooms.sweeper = Sweeper(config.quotas)
    rooms.desk.keys, rooms.clerk.keys = keys, may_ask(config, keys)
    rooms.alarms.settings = config.alarms
    rooms.alarms.book.replace(config.rules)


def _names(rooms: Rooms, config: EdgeConfig) -> None:
    names, windows = rooms.names, rooms.windows
    names.configure(Widths.from_config(config), Aspects.from_config(config), max_devices=config.max_devices)
    names.places.most, names.places.per_device = config.max_series, config.quotas.series
    anew = names.adopt_aspects()
    if anew:  # what was accumulated says nothing of details that nobody had asked for
        rows = windows.open.rows
        which = np.isin(rows["series"], anew)
        windows.open.doubt(window_keys(rows["series"][which], rows["start"][which]))
    rooms.resolution.configure(config)
    rooms.rewidened += names.widths.adopt(windows.newest(), rooms.resolution.kept())
