"""AWS IoT Jobs: the job is cancelled, and new jobs bring the previous release to the things that were given the bad one.

Source: AWS IoT API reference, DescribeJob, CancelJob, CreateJob (at most 100 targets a job). Needs iot:DescribeJob, iot:CancelJob and
iot:CreateJob. Things that have finished the bad job go back by the new one only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from analytics.rollback.owners.owner import CONFLICT, NOT_FOUND, OK, Request, ask, field

if TYPE_CHECKING:
    from collections.abc import Generator

    from analytics.rollback.owners.owner import Answer, Order

OVER = frozenset({"CANCELED", "COMPLETED", "DELETION_IN_PROGRESS"})
MOST_TARGETS = 100


class AwsIotJobs:
    """`object`: job_id, document_source and arn_prefix. Device names are thing names.

    The document source is the address of the previous release's job document in S3, the prefix `arn:aws:iot:REGION:ACCOUNT:thing/`.
    """

    needs = ("job_id", "document_source", "arn_prefix")

    def go_back(self, order: Order) -> Generator[Request, Answer, None]:
        """Cancel, then create what is not there."""
        path = f"/jobs/{quote(order.object['job_id'], safe='')}"
        job = (yield from ask(Request(method="GET", path=path))).body
        if field(job, "job", "status") not in OVER:
            body = {"reasonCode": "TIDEGATE_GATE_FAILED", "comment": order.reason[:2000]}
            yield from ask(Request(method="PUT", path=f"{path}/cancel?force=true", body=body))
        for start in range(0, len(order.devices), MOST_TARGETS):
            name = f"{order.name}-{start // MOST_TARGETS}"
            yield from self._create(order, name, order.devices[start : start + MOST_TARGETS])

    def _create(self, order: Order, name: str, devices: list[str]) -> Generator[Request, Answer, None]:
        known = yield from ask(Request(method="GET", path=f"/jobs/{name}"), OK, NOT_FOUND)
        if known.status == OK:
            return
        body = {
            "targets": [order.object["arn_prefix"] + device.partition("/")[2] for device in devices],
            "documentSource": order.object["document_source"],
            "description": order.reason[:2000],
            "targetSelection": "SNAPSHOT",
        }
        yield from ask(Request(method="PUT", path=f"/jobs/{name}", body=body), OK, CONFLICT)
