"""The recorder's clerk: takes requests, refuses what must not be answered, and writes down what became of each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.recorder.answers import Answer
from ingest.contract.commands import RefusedCommandError
from ingest.contract.reasons import RequestRefusal
from ingest.contract.records import dead_letter
from ingest.contract.requests import LIFE_LIMIT_MS, open_request
from ingest.contract.topics import REQUESTS, dead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.recorder.answers import Answers
    from edge_aggregator.recorder.table import OpenRequest
    from edge_aggregator.state import State
    from ingest.contract.batch import Origin
    from ingest.contract.records import Record
    from ingest.contract.requests import SampleRequest


class Clerk:
    """`origin` is who answers; of requests that are not answered yet `most_waiting` are kept."""

    def __init__(
        self, answers: Answers, keys: Mapping[str, Ed25519PublicKey], state: State, origin: Origin, *, most_waiting: int
    ) -> None:
        self._answers, self.keys, self._state, self._origin = answers, keys, state, origin
        self._most_waiting = most_waiting

    def take(self, records: Iterable[Record], now: int) -> Counter[str]:
        """Requests for this site, in one transaction; what became of them. Refusals are in the outbox on return."""
        outcomes: Counter[str] = Counter()
        with self._state.transaction():
            for record in records:
                if record.key == self._origin.site.encode() and record.value is not None:
                    outcomes[self._take(record, record.value, now)] += 1
            self._state.requests.forget(now)
        return outcomes

    def begin(self, now: int) -> OpenRequest | None:
        """The next one to be answered; those that have expired meanwhile are refused."""
        with self._state.transaction():
            while (found := self._state.requests.begin()) is not None:
                if now < found.request.expires:
                    return found
                self._close(found.request, Answer(RequestRefusal.EXPIRED.value), found.trace, now)
        return None

    def close(self, begun: OpenRequest, answer: Answer, now: int) -> None:
        """A request was answered, or given up."""
        with self._state.transaction():
            self._close(begun.request, answer, begun.trace, now)

    def _take(self, record: Record, envelope: bytes, now: int) -> str:
        try:
            request = open_request(envelope, self.keys)
        except RefusedCommandError as error:
            return self._bury(record, RequestRefusal(error.reason.value), now)
        if request.tenant != self._origin.tenant:
            return self._bury(record, RequestRefusal.FOREIGN_TENANT, now)
        if request.site != self._origin.site:
            return self._bury(record, RequestRefusal.FOREIGN_SITE, now)
        # The log delivers at least once, and whoever plays a request again cannot give it a new id.
        if self._state.requests.knows(request.request):
            return "duplicate"
        refusal = self._refusal(request, now)
        self._state.requests.add(request, now, record.trace)
        if refusal is not None:
            self._close(request, Answer(refusal.value), record.trace, now)
        return refusal.value if refusal else "taken"

    def _refusal(self, request: SampleRequest, now: int) -> RequestRefusal | None:
        if now >= request.expires:
            return RequestRefusal.EXPIRED
        if request.expires - request.issued > LIFE_LIMIT_MS:
            return RequestRefusal.TOO_LONG_LIVED
        return RequestRefusal.TOO_MANY_REQUESTS if self._state.requests.waiting() >= self._most_waiting else None

    def _bury(self, record: Record, refusal: RequestRefusal, now: int) -> str:
        letter = dead_letter(record, refusal.value, f"refused by {self._origin.gateway}", dead(REQUESTS))
        self._state.outbox.put(Kind.DEAD_LETTER, now, letter)
        return refusal.value

    def _close(self, request: SampleRequest, answer: Answer, trace: str, now: int) -> None:
        self._state.requests.close(request.request, answer.outcome)
        if not answer.told:
            last, _ = self._answers.last(request, answer, attempt=answer.attempt, now=now, trace=trace)
            self._state.outbox.put(Kind.EVENT, now, last)
            answer = msgspec.structs.replace(answer, chunks=answer.chunks + 1)
        self._state.outbox.put(Kind.EVENT, now, self._answers.audit(request, answer, now, trace))
