"""The power may go at any change of a device's flash, twice: it starts, knows its counter, and answers in the end."""

from __future__ import annotations

import itertools

import pytest

from compose.fleet.boot import BootLoader
from compose.fleet.release import Release
from ingest.contract.events import AckStatus
from ingest.contract.reasons import CommandRefusal
from tests.device_world import BRICK, NEW, NOW, OLD, REGISTRY, SICK, Board, MemoryFlash, PowerCutError, command

HOW = ("before", "torn", "after")
MOST_CHANGES = 8
"""More than any of the stories makes; the last test sees to it."""


def settle(flash: MemoryFlash, envelope: bytes) -> Board:
    """Power on, take the command (its gateway sends it until it is answered for good), and go on until nothing is left."""
    board = Board(flash)
    board.run()
    board.receive(envelope)
    board.run()
    return board


def told(release: Release, **changes: object) -> bytes:
    return command(version=release.version, digest=release.digest(), **changes)


def cut_short(flash: MemoryFlash, envelope: bytes, cuts: tuple[tuple[int, str], ...]) -> Board:
    for at, how in cuts:
        flash.cut(at, how)
        try:
            settle(flash, envelope)
        except PowerCutError:
            check_slots(flash)
    flash.cut(-1, "")
    return settle(flash, envelope)


def check_slots(flash: MemoryFlash) -> None:
    record = BootLoader(flash).record()
    good = REGISTRY.release_of(flash.read(record.good))
    assert good is not None
    assert good.starts
    assert not good.complaint
    if record.trial:
        assert REGISTRY.release_of(flash.read(record.trial)) is not None


CUTS = [(at, how) for at in range(MOST_CHANGES) for how in HOW]


@pytest.mark.parametrize("release", [NEW, BRICK, SICK], ids=["good", "hangs", "sick"])
def test_a_cut_at_every_change_and_at_every_second_one(release: Release) -> None:
    for cuts in [*((cut,) for cut in CUTS), *itertools.product(CUTS, CUTS)]:
        board = cut_short(MemoryFlash(), told(release), cuts)
        answer = board.agent.state.last_ack
        assert answer is not None, cuts
        assert board.said[-1] == answer, cuts
        assert (answer.command, answer.firmware) == ("c1", board.firmware), cuts
        # A cut during its trial costs even a good image the trial; it is said, and the old one runs.
        wanted = {OLD.version: AckStatus.FAILED, NEW.version: AckStatus.DONE}
        assert answer.status is wanted[board.firmware], cuts
        assert answer.reason or answer.status is AckStatus.DONE, cuts
        assert board.firmware == OLD.version or release is NEW, cuts
        check_slots(board.flash)
        board.receive(command(counter=6))
        assert board.said[-1].reason == CommandRefusal.REPLAYED, cuts


def test_the_way_back_is_as_safe() -> None:
    forth = settle(MemoryFlash(), told(NEW))
    back = told(OLD, command="c2", counter=8, downgrade=True)
    for cuts in [*((cut,) for cut in CUTS), *itertools.product(CUTS, CUTS)]:
        board = cut_short(MemoryFlash(forth.flash.content), back, cuts)
        answer = board.agent.state.last_ack
        assert answer is not None
        wanted = {NEW.version: AckStatus.FAILED, OLD.version: AckStatus.DONE}
        assert (answer.command, answer.status) == ("c2", wanted[board.firmware]), cuts


def test_a_newer_command_during_a_trial_is_as_safe() -> None:
    begun = Board()
    begun.receive(told(NEW))
    begun.agent.install(NOW)
    back = told(OLD, command="c2", counter=8, downgrade=True)
    for cut in CUTS:
        flash = MemoryFlash(begun.flash.content)
        flash.cut(*cut)
        try:
            board = Board(flash)
            board.receive(back)
            board.run()
        except PowerCutError:
            check_slots(flash)
        flash.cut(-1, "")
        board = settle(flash, back)
        answer = board.agent.state.last_ack
        assert answer is not None
        assert (answer.command, answer.status, board.firmware) == ("c2", AckStatus.DONE, OLD.version), cut


def test_no_story_makes_more_changes() -> None:
    for release in (NEW, BRICK, SICK):
        flash = MemoryFlash()
        settle(flash, told(release))
        assert flash.changes < MOST_CHANGES
