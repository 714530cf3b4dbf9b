"""The reference agent obeys what is signed, its own, in time and new; everything else it refuses with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from compose.fleet.agent import TRIAL_S
from compose.fleet.flash import FolderFlash
from ingest.contract.commands import SignedCommand
from ingest.contract.events import AckStatus
from ingest.contract.reasons import CommandRefusal
from tests.device_world import BRICK, NOW, OLD, SICK, STRANGER, Board, MemoryFlash, command

if TYPE_CHECKING:
    from pathlib import Path

    from compose.fleet.agent import Ack


def told(acks: list[Ack]) -> list[tuple[str, str, str, str]]:
    return [(ack.command, ack.status.value, ack.firmware, ack.reason) for ack in acks]


def test_an_install_is_accepted_then_done_after_its_trial() -> None:
    board = Board()
    board.receive(command())
    assert told(board.said) == [("c1", "accepted", "2.2.0", "")]
    board.run()
    assert told(board.said[1:]) == [("c1", "done", "2.3.0", "")]
    assert (board.firmware, board.starts) == ("2.3.0", ["2.2.0", "2.3.0"])
    board.restart()
    assert told(board.said[2:]) == []


def test_the_same_command_again_is_answered_again_and_done_once() -> None:
    board = Board()
    board.receive(command())
    board.run()
    board.receive(command(), NOW + 120_000)  # even after its expiry
    board.run()
    assert told(board.said[2:]) == [("c1", "done", "2.3.0", "")]
    assert board.starts == ["2.2.0", "2.3.0"]


def tampered() -> bytes:
    signed = msgspec.json.decode(command(counter=8), type=SignedCommand)
    return msgspec.json.encode(msgspec.structs.replace(signed, payload=signed.payload[:-8] + "AAAAAAA="))


REFUSED = [
    (b"\xff not json", NOW, CommandRefusal.MALFORMED),
    (tampered(), NOW, CommandRefusal.BAD_SIGNATURE),
    (command(STRANGER, counter=8), NOW, CommandRefusal.UNKNOWN_KEY),
    (command(counter=8, tenant="other"), NOW, CommandRefusal.FOREIGN_TENANT),
    (command(counter=8, site="south"), NOW, CommandRefusal.FOREIGN_SITE),
    (command(counter=8, device="pump-2"), NOW, CommandRefusal.FOREIGN_DEVICE),
    (command(counter=8, expires=NOW - 1), NOW, CommandRefusal.EXPIRED),
    (command(counter=8, kind="format-disk"), NOW, CommandRefusal.UNKNOWN_KIND),
    (command(counter=6), NOW, CommandRefusal.REPLAYED),
    (command(version="2.4.0"), NOW, CommandRefusal.COUNTER_REUSED),
    (command(counter=8, version=OLD.version, digest=OLD.digest()), NOW, CommandRefusal.DOWNGRADE),
    (command(counter=8), 12_345, CommandRefusal.CLOCK_UNSET),
]


@pytest.mark.parametrize(("envelope", "now", "reason"), REFUSED, ids=[reason.value for *_, reason in REFUSED])
def test_what_must_not_be_obeyed_is_refused_with_the_reason(envelope: bytes, now: int, reason: CommandRefusal) -> None:
    board = Board()
    board.receive(command())
    board.run()
    before, said = board.agent.state, len(board.said)
    board.receive(envelope, now)
    board.run()
    [ack] = board.said[said:]
    assert (ack.status, ack.reason, ack.firmware) == (AckStatus.REFUSED, reason, "2.3.0")
    assert (board.agent.state, board.starts) == (before, ["2.2.0", "2.3.0"])


def test_every_reason_has_its_test() -> None:
    assert {reason for *_, reason in REFUSED} == set(CommandRefusal)


def test_an_older_version_is_installed_when_the_command_says_that_it_may_be() -> None:
    board = Board()
    board.receive(command())
    board.run()
    board.receive(command(command="c2", counter=8, version=OLD.version, digest=OLD.digest(), downgrade=True))
    board.run()
    assert told(board.said[2:]) == [("c2", "accepted", "2.3.0", ""), ("c2", "done", "2.2.0", "")]
    assert board.flash.written == ["b"]  # the old image was still in its slot


def test_what_runs_already_is_done_at_once() -> None:
    board = Board()
    board.receive(command(version=OLD.version, digest=OLD.digest()))
    board.run()
    assert (told(board.said), board.starts) == ([("c1", "done", "2.2.0", "")], ["2.2.0"])


@pytest.mark.parametrize("version", ["2.3.0", "9.9.9"])
def test_an_image_with_another_digest_is_not_installed(version: str) -> None:
    board = Board()
    board.receive(command(version=version, digest="sha256:00"))
    board.run()
    assert told(board.said[1:]) == [("c1", "failed", "2.2.0", "no image with that digest")]
    assert board.flash.written == []


def test_flash_that_does_not_keep_what_is_written_is_not_started_from() -> None:
    board = Board(MemoryFlash(worn={"b"}))
    board.receive(command())
    board.run()
    assert told(board.said[1:]) == [("c1", "failed", "2.2.0", "the flash does not hold what was written")]
    assert board.starts == ["2.2.0"]


def test_an_image_that_hangs_is_given_up_for_the_old_one() -> None:
    board = Board()
    board.receive(command(version=BRICK.version, digest=BRICK.digest()))
    board.run()
    assert board.starts == ["2.2.0", "2.4.0", "2.2.0"]
    assert told(board.said[1:]) == [("c1", "failed", "2.2.0", "the image did not come up, or not for long")]
    board.receive(command(version=BRICK.version, digest=BRICK.digest()))
    board.run()
    assert told(board.said[2:]) == told(board.said[1:2])
    assert board.starts == ["2.2.0", "2.4.0", "2.2.0"]


def test_an_image_that_finds_itself_sick_is_given_up_for_the_old_one() -> None:
    board = Board()
    board.receive(command(version=SICK.version, digest=SICK.digest()))
    board.run()
    assert told(board.said[1:]) == [("c1", "failed", "2.2.0", "no sensor answers")]
    assert board.firmware == "2.2.0"


def test_an_image_that_cannot_say_how_it_is_has_its_time_and_no_more() -> None:
    board = Board()
    board.receive(command())
    board.agent.install(NOW)
    board.restart()
    assert not board.agent.check(None, TRIAL_S - 0.1).restart
    assert board.agent.check(None, TRIAL_S).restart
    board.restart()
    assert told(board.said[1:]) == [("c1", "failed", "2.2.0", "the health check did not pass within 60 s")]


def test_an_image_on_trial_that_crashes_is_not_started_again() -> None:
    board = Board()
    board.receive(command())
    board.agent.install(NOW)
    board.restart()
    assert (board.firmware, board.agent.on_trial) == ("2.3.0", True)
    board.restart()
    assert (board.firmware, board.agent.on_trial) == ("2.2.0", False)
    assert told(board.said[1:]) == [("c1", "failed", "2.2.0", "the image did not come up, or not for long")]


def test_a_newer_command_ends_a_trial_and_is_carried_out_from_the_old_image() -> None:
    board = Board()
    board.receive(command())
    board.agent.install(NOW)
    board.restart()
    board.receive(command(command="c2", counter=8, version=OLD.version, digest=OLD.digest(), downgrade=True))
    board.run()
    assert told(board.said[1:]) == [
        ("c1", "failed", "2.3.0", "a newer command came"),
        ("c2", "accepted", "2.3.0", ""),
        ("c2", "done", "2.2.0", ""),
    ]
    assert board.starts == ["2.2.0", "2.3.0", "2.2.0"]


def test_what_was_cut_short_is_not_finished_when_nobody_wants_it_any_more() -> None:
    board = Board()
    board.receive(command())
    board.restart()
    board.run(0)  # the clock has stopped with the power: wait
    assert board.agent.to_install
    board.run(NOW + 3_600_000)
    assert told(board.said[1:]) == [("c1", "failed", "2.2.0", "it expired before it was installed")]


def test_a_device_in_a_folder_remembers(tmp_path: Path) -> None:
    board = Board(FolderFlash(tmp_path, "pump-1"))
    board.receive(command(counter=41))
    board.run()
    again = Board(FolderFlash(tmp_path, "pump-1"))
    assert again.firmware == "2.3.0"
    again.receive(command(counter=40))
    assert again.said[-1].reason == CommandRefusal.REPLAYED
