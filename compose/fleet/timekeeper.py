"""The time on a device without a clock: what its gateway signed, and what has passed since, as far as that may be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ingest.contract.commands import RefusedCommandError, SignedCommand, open_signed
from ingest.contract.device_time import CLOCK_UNSET_BEFORE_MS, TIME, SignedTime, TimeRequest

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from compose.fleet.agent import Address

ANSWER_WITHIN_S = 10.0
"""An answer that took longer says too little of the time; after so long without one, it is asked again."""
ASK_AGAIN_S = 3600.0
TRUSTED_S = 86_400.0
"""So long the device's own oscillator is believed without a new answer."""
DRIFT = 0.001
"""How much faster than time it may run."""
_NONCE_BYTES = 16


class _Taken(NamedTuple):
    at: float  # monotonic s
    least: int  # ms: not before this was it, then
    most: int  # ms: nor after this


class Timekeeper:
    """Monotonic times are seconds of the device's own oscillator, which begin anew with each start.

    Without `keys`, those that the gateways of this site sign with, it never asks and never knows the time.
    """

    def __init__(self, address: Address, keys: Mapping[str, Ed25519PublicKey], random: random.Random) -> None:
        self._address, self._keys, self._random = address, keys, random
        self._nonce, self._asked_at = "", float("-inf")
        self._taken: _Taken | None = None

    def started(self) -> None:
        """The device has been without power: nothing is known."""
        self._nonce, self._asked_at, self._taken = "", float("-inf"), None

    def now_ms(self, monotonic: float) -> int:
        """The latest that it can be; 0 while the time is not known. Never runs backwards."""
        taken = self._taken
        if taken is None or monotonic - taken.at > TRUSTED_S:
            return 0
        return taken.most + round((monotonic - taken.at) * 1000)

    def request(self, monotonic: float) -> bytes | None:
        """What to publish now, when it is time to ask."""
        fresh = self._taken is not None and monotonic - self._taken.at < ASK_AGAIN_S
        if not self._keys or fresh or monotonic - self._asked_at < ANSWER_WITHIN_S:
            return None
        self._nonce, self._asked_at = self._random.randbytes(_NONCE_BYTES).hex(), monotonic
        return msgspec.json.encode(TimeRequest(nonce=self._nonce))

    def is_answer(self, envelope: bytes) -> bool:
        """Whether this claims to be a gateway's answer, not a command."""
        try:
            return msgspec.json.decode(envelope, type=SignedCommand).key in self._keys
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False

    def take(self, envelope: bytes, monotonic: float, floor_ms: int) -> bool:
        """Take an answer; False for what is no answer to the last question, late, signed by others, or in the past.

        `floor_ms`: it cannot be earlier, as the newest obeyed command says.
        """
        try:
            answer = open_signed(envelope, self._keys, SignedTime)
        except RefusedCommandError:
            return False
        asked = self._asked_at
        if not self._is_ours(answer) or monotonic - asked > ANSWER_WITHIN_S:
            return False
        self._nonce = ""  # taken or not: an answer counts once
        most = answer.time + round((monotonic - asked) * 1000)
        if answer.time < CLOCK_UNSET_BEFORE_MS or most < max(floor_ms, self._least(monotonic)):
            return False
        least = max(answer.time, self._least(monotonic))
        self._taken = _Taken(monotonic, least, max(most, self.now_ms(monotonic)))
        return True

    def _is_ours(self, answer: SignedTime) -> bool:
        whom = (answer.kind, answer.tenant, answer.site, answer.device)
        return bool(self._nonce) and answer.nonce == self._nonce and whom == (TIME, *self._address)

    def _least(self, monotonic: float) -> int:
        taken = self._taken
        if taken is None or monotonic - taken.at > TRUSTED_S:
            return 0
        return taken.least + round((monotonic - taken.at) * 1000 * (1 - DRIFT))
