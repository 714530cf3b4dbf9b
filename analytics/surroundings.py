"""What the services of one process share, and how a stage becomes one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingest.runtime.checkpoint import Checkpoint
from ingest.runtime.handover import Handover
from ingest.runtime.worker import MAX_RECORDS, PartitionedStage, StageWorker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry
    from ingest.runtime.worker import Stage


class Surroundings(NamedTuple):
    """`data_dir` is the folder for what must be remembered, `shared_dir` the one that all members of the groups see."""

    clock: Clock
    log: Log
    health: Health
    telemetry: Telemetry
    data_dir: Path
    shared_dir: Path | None = None
    handover_s: float = 60.0

    def worker(
        self,
        stage: Stage,
        file: str,
        *,
        group: str,
        member: str,
        tick_s: float,
        max_records: int = MAX_RECORDS,
        everywhere: Sequence[str] = (),
    ) -> StageWorker:
        """Runs the stage here, as `member` of the consumer group; its state is kept in `file` of the folder.

        Where there is a `shared_dir`, the states of its partitions go along when these move to other members.
        """
        return StageWorker(
            stage,
            log=self.log,
            checkpoint=Checkpoint(self.data_dir / file),
            clock=self.clock,
            health=self.health,
            telemetry=self.telemetry,
            group=group,
            member=member,
            tick_s=tick_s,
            max_records=max_records,
            everywhere=everywhere,
            handover=self._handover(stage),
        )

    def _handover(self, stage: Stage) -> Handover | None:
        if self.shared_dir is None or not isinstance(stage, PartitionedStage):
            return None
        folder, every_ms = self.shared_dir / stage.name, round(self.handover_s * 1000)
        return Handover(folder, stage.partition_of, self.telemetry, stage.name, every_ms)
