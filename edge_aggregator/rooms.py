"""The rooms of a gateway, opened together: what is on the disk, and what is made of it in memory."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from edge_aggregator.aspects import Aspects
from edge_aggregator.class_account import DeviceAccount
from edge_aggregator.commands.desk import Desk
from edge_aggregator.config import milliseconds
from edge_aggregator.decode.tables import Limits, Tables
from edge_aggregator.devices.registry import Registry, Site
from edge_aggregator.journal.eviction import Bounds
from edge_aggregator.journal.journal import Journal
from edge_aggregator.journal.keys import KeySource, load_keyring
from edge_aggregator.journal.merge import Merging
from edge_aggregator.ledger import Ledger
from edge_aggregator.lock import FolderLock
from edge_aggregator.names import Names
from edge_aggregator.outbox.batches import BatchMaker
from edge_aggregator.outbox.degrade import Degrader
from edge_aggregator.outbox.records import Records
from edge_aggregator.outbox.rewrite import Rewriter
from edge_aggregator.outbox.room import Room
from edge_aggregator.pending import Pending
from edge_aggregator.quotas.offenders import Offenders
from edge_aggregator.quotas.rates import Rates
from edge_aggregator.quotas.sweep import Sweeper
from edge_aggregator.recorder.answers import Answers
from edge_aggregator.recorder.clerk import Clerk
from edge_aggregator.resolution.resolution import Resolution
from edge_aggregator.rules.book import RuleBook
from edge_aggregator.rules.desk import AlarmDesk
from edge_aggregator.state import FILE_NAME, IF_DAMAGED, Progress, State
from edge_aggregator.storage import Storage, fatal
from edge_aggregator.widths import Widths
from edge_aggregator.windows.windows import MOST_AT_ONCE, Windows
from ingest.contract.batch import Origin
from ingest.runtime.secrets import parse_public_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.outbox.outbox import Waiting

_FILES_PER_AGE = 8
"""What is too old goes with its file: the age of the oldest sample is at most an eighth beyond its bound."""


@dataclass(kw_only=True)
class Rooms:
    """Everything of one gateway. `saved` is the newest checkpoint; `position` the newest block in the windows.

    `journaled` counts all samples that the journal ever received, up to that block.
    """

    lock: FolderLock
    site: Site
    names: Names
    tables: Tables
    journal: Journal
    bounds: Bounds
    state: State
    windows: Windows
    registry: Registry
    ledger: Ledger
    records: Records
    desk: Desk
    answers: Answers
    clerk: Clerk
    maker: BatchMaker
    room: Room
    saved: Progress
    position: int
    journaled: int
    resolution: Resolution
    heartbeat_ms: int
    historical_after_ms: int
    sweeper: Sweeper
    alarms: AlarmDesk
    offenders: Offenders
    heartbeat_at: int = 0
    windows_at_once: int = MOST_AT_ONCE
    """How many windows one flush closes, about."""
    pending: Pending = field(default_factory=Pending)
    refused: dict[int, Waiting] = field(default_factory=dict)
    """Records by id that the log will never take, still to be forgotten."""
    rewidened: list[int] = field(default_factory=list)
    """Series of which the width was configured anew, still to be saved."""

    def close(self) -> None:
        """Close all files."""
        # A disk that fails now has every commit already, in the write-ahead logs.
        for room in (self.journal, self.state):
            with contextlib.suppress(apsw.Error):
                room.close()
        self.lock.release()


def open_rooms(config: EdgeConfig, keys: Mapping[str, Ed25519PublicKey], storage: Storage) -> Rooms:
    """Open the files and restore what the newest checkpoint says. Raises StorageFailedError, SecretError."""
    lock = FolderLock(Path(config.data_dir), storage)
    try:
        with fatal(f"reading {FILE_NAME}", IF_DAMAGED):
            return _opened(config, keys, storage, lock)
    except Exception:
        lock.release()
        raise


def _opened(config: EdgeConfig, keys: Mapping[str, Ed25519PublicKey], storage: Storage, lock: FolderLock) -> Rooms:
    folder = Path(config.data_dir)
    keys_from = KeySource(config.journal_key_file, config.journal_key_env)
    ring = load_keyring(keys_from, (config.tenant, config.site, config.gateway), os.environ)
    site = Site(config.tenant, config.site, config.gateway)
    names = Names(
        Widths.from_config(config),
        max_devices=config.max_devices,
        max_series=config.max_series,
        per_device=config.quotas.series,
        aspects=Aspects.from_config(config),
    )
    state = State(folder, storage)
    with fatal("opening the journal"):
        journal = Journal(
            folder / "journal",
            storage,
            file_bytes=config.journal_file_bytes,
            file_ms=milliseconds(config.journal_age_s) // _FILES_PER_AGE,
            ring=ring,
            merging=_merging(config),
        )
    saved, devices = state.load_progress(), state.load_names(names)
    names.grow_to(saved.next_series)
    journal.open(saved.processed, saved.journaled, kept_from=saved.kept_from)
    registry, windows = _registry(config, site, names, devices, saved), _windows(config, names, saved)
    records, origin = Records(site, state.boot, saved.events), Origin(*site, state.boot)
    answers = Answers(origin, names)
    book = RuleBook(names, registry, config.rules, state.alarms.load())
    return Rooms(
        lock=lock,
        site=site,
        names=names,
        tables=Tables(config.site, names, limits_of(config), Rates(config.quotas)),
        journal=journal,
        bounds=Bounds(config.journal_bytes, age_of(config)),
        state=state,
        windows=windows,
        registry=registry,
        ledger=_ledger(registry, saved),
        records=records,
        desk=Desk(site, keys, state, records, names),
        answers=answers,
        clerk=_clerk(config, keys, state, answers, origin),
        maker=BatchMaker(origin, names, registry),
        room=_room(config, state, names, records, origin),
        saved=saved,
        position=saved.processed,
        journaled=saved.journaled,
        resolution=Resolution(config, names),
        heartbeat_ms=milliseconds(config.heartbeat_s),
        historical_after_ms=milliseconds(config.historical_after_s),
        sweeper=Sweeper(config.quotas),
        alarms=AlarmDesk(site, book, state, config.alarms),
        offenders=Offenders(saved.offenders),
    )


def _room(config: EdgeConfig, state: State, names: Names, records: Records, origin: Origin) -> Room:
    degrader = Degrader(state, names, Rewriter(origin), records)
    return Room(state.outbox, state.revisions, names, degrader, most_bytes=config.outbox_bytes)


def _clerk(
    config: EdgeConfig, keys: Mapping[str, Ed25519PublicKey], state: State, answers: Answers, origin: Origin
) -> Clerk:
    return Clerk(answers, may_ask(config, keys), state, origin, most_waiting=config.recorder.most_waiting)


def _registry(config: EdgeConfig, site: Site, names: Names, devices: dict[int, bytes], saved: Progress) -> Registry:
    registry = Registry(site, names, lease_s=config.lease_s)
    registry.restore(devices, saved.devices)
    return registry


def _ledger(registry: Registry, saved: Progress) -> Ledger:
    account = DeviceAccount(saved.account)
    for device in registry.records:
        account.describe(device, registry.hardware(device))
    return Ledger(saved.totals, saved.head, owed=saved.owed, gone=saved.gone, account=account)


def _windows(config: EdgeConfig, names: Names, saved: Progress) -> Windows:
    lateness, idle = milliseconds(config.allowed_lateness_s), milliseconds(config.idle_close_s)
    windows = Windows(names, lateness_ms=lateness, idle_ms=idle)
    windows.restore(saved.windows)
    return windows


def age_of(config: EdgeConfig) -> int:
    """How long the journal is kept at least (ms)."""
    # A window that may still be corrected began this long ago, and then it was heard.
    widest = max([config.window_s, *(metric.width_s for metric in config.metrics)])
    return milliseconds(max(config.journal_age_s, config.allowed_lateness_s + widest + config.idle_close_s))


def _merging(config: EdgeConfig) -> Merging | None:
    span = milliseconds(config.journal_merge_s)
    return Merging(config.journal_merge_samples, span) if span else None


def may_ask(config: EdgeConfig, keys: Mapping[str, Ed25519PublicKey]) -> dict[str, Ed25519PublicKey]:
    """Whose requests for raw samples are answered: the centre's `keys` and the recorder's own."""
    return {**keys, **parse_public_keys(config.recorder.keys)}


def limits_of(config: EdgeConfig) -> Limits:
    """What decoding takes."""
    return Limits(config.max_payload_bytes, milliseconds(config.future_tolerance_s), milliseconds(config.max_age_s))
