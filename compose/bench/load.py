"""What is asked of a run, and where runs are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from compose.stack.endpoints import Endpoints
    from ingest.runtime.log.port import Log


class BenchFailedError(RuntimeError):
    """A run could not be made; the message says what was seen."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is fed, as in FeedPlan; `core`: the one core that the measured process gets; None for all."""

    devices: int
    rate: float
    seconds: float
    frames: int = 40
    in_flight: int = 65_535
    window_s: float = 10.0
    core: int | None = None
    through_broker: bool = False
    rest_s: float = 0.0
    introductions: int = 0
    only_311: bool = False


@dataclass(frozen=True, kw_only=True)
class Stand:
    """What all runs share: a folder on a disk, the servers, a client of Kafka, and the brokers' folder."""

    folder: Path
    endpoints: Endpoints
    log: Log
    kafka_data: Path
    kafka_pid: int | None
