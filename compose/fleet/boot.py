"""The boot loader: two slots, of which one is good; an image on trial is started once, and only its own word keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from compose.fleet.flash import Flash

SLOTS = ("a", "b")
TRIES = 1
"""How often an image on trial is started before the good one is again."""
_RECORD = "boot"


class BootRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which slot is good, and which one is to be tried how often."""

    good: str = SLOTS[0]
    trial: str = ""
    tries: int = 0


class BootLoader:
    """Reads and changes the boot record; every change is one step."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash

    def record(self) -> BootRecord:
        """The record as it is."""
        kept = self._flash.read(_RECORD)
        return msgspec.json.decode(kept, type=BootRecord) if kept else BootRecord()

    def choose(self) -> str:
        """The slot to be started now. A try is counted before it is made: whatever happens in it, it is over."""
        record = self.record()
        if not record.trial or record.tries <= 0:
            return record.good
        self._save(msgspec.structs.replace(record, tries=record.tries - 1))
        return record.trial

    def try_out(self, slot: str) -> None:
        """The next start is a trial of `slot`."""
        self._save(BootRecord(good=self.record().good, trial=slot, tries=TRIES))

    def keep(self, slot: str) -> None:
        """`slot` is good from now on, and nothing is on trial."""
        self._save(BootRecord(good=slot))

    def idle(self) -> str:
        """The slot that may be written."""
        good = self.record().good
        return next(slot for slot in SLOTS if slot != good)

    def _save(self, record: BootRecord) -> None:
        self._flash.replace(_RECORD, msgspec.json.encode(record))
