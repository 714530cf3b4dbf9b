"""Stand-ins for what owns rollouts of a fleet of devices: hawkBit, Mender, AWS IoT and Azure Device Update."""

from __future__ import annotations

import re
from typing import Any

from analytics.rollback.owners.aws_iot import AwsIotJobs
from analytics.rollback.owners.azure_adu import AzureDeviceUpdate
from analytics.rollback.owners.hawkbit import HawkBit
from analytics.rollback.owners.mender import Mender
from analytics.rollback.owners.owner import Answer, Request
from tests.aws_model import aws_mistakes
from tests.owner_apis import AZURE, HAWKBIT, MENDER, MENDER_V1
from tests.owner_server import Server, unexpected
from tests.rollback_orders import GOOD


class HawkBitServer(Server):
    owner, object = HawkBit(), {"rollout_id": "5", "bad_ds": "7", "previous_ds": "6"}
    described = HAWKBIT
    has_stop = True

    def __init__(self) -> None:
        super().__init__()
        self.rollouts: dict[int, dict[str, Any]] = {5: {"id": 5, "name": "fw", "status": "running"}}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        if method == "GET" and path == "/rest/v1/rollouts":
            name = query["q"].removeprefix("name==")
            return Answer(status=200, body={"content": [r for r in self.rollouts.values() if r["name"] == name]})
        if method == "POST" and path == "/rest/v1/rollouts":
            return self._create(body)
        found = re.fullmatch(r"/rest/v1/rollouts/(\d+)(?:/(stop|pause|start))?", path)
        if found is None:
            return unexpected(method, path)
        return self._one(method, self.rollouts[int(found[1])], found[2] or "")

    def _create(self, body: dict[str, Any]) -> Answer:
        if any(r["name"] == body["name"] for r in self.rollouts.values()):
            return Answer(status=409, body={"message": "already exists"})
        self.rollouts[6] = {"id": 6, "name": body["name"], "status": "creating", "ds": body["distributionSetId"]}
        return Answer(status=201, body=self.rollouts[6])

    def _one(self, method: str, rollout: dict[str, Any], verb: str) -> Answer:
        if method == "GET" and not verb:
            if rollout["status"] == "creating":
                rollout["status"] = "ready"
            return Answer(status=200, body=rollout)
        if verb == "stop" and not self.has_stop:
            return Answer(status=404)
        before, after = {"stop": ("running", "stopped"), "pause": ("running", "paused"), "start": ("ready", "running")}[
            verb
        ]
        if rollout["status"] != before:
            return Answer(status=400, body={"message": f"rollout is {rollout['status']}"})
        rollout["status"] = after
        return Answer(status=204)

    def is_back(self) -> bool:
        stopped = self.rollouts[5]["status"] == ("stopped" if self.has_stop else "paused")
        new = self.rollouts.get(6, {})
        return stopped and (new.get("status"), new.get("ds")) == ("running", 6)


class OldHawkBitServer(HawkBitServer):
    has_stop = False


class MenderServer(Server):
    owner, object = Mender(), {"deployment_id": "dep-1", "artifact_name": "fw-2.2.0"}
    described = MENDER

    def __init__(self) -> None:
        super().__init__()
        self.status = "inprogress"
        self.created: list[dict[str, Any]] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        base = "/api/management/v1/deployments/deployments"
        if method == "GET" and path == f"{base}/dep-1":
            return Answer(status=200, body={"id": "dep-1", "status": self.status})
        if method == "PUT" and path == f"{base}/dep-1/status":
            if self.status == "finished":
                return Answer(status=422, body={"error": "deployment already finished"})
            self.status = "finished"
            return Answer(status=204)
        if method == "POST" and path == base:
            if any(d["name"] == body["name"] for d in self.created):
                return Answer(
                    status=409, body={"error": "an active deployment with the same parameters already exists"}
                )
            self.created.append(body)
            return Answer(status=201)
        return self.found(path, query)

    def found(self, path: str, query: dict[str, str]) -> Answer:
        if path != "/api/management/v2/deployments/deployments":
            return unexpected("GET", path)
        return Answer(status=200, body=[d for d in self.created if d["name"] == query["name"]])

    def is_back(self) -> bool:
        return self.status == "finished" and [d["devices"] for d in self.created] == [["d0", "d1", "d2"]]


class OldMenderServer(MenderServer):
    """Finds deployments by words in their names alone, and knows no other list."""

    described = MENDER_V1

    def mistakes(self, request: Request) -> list[str]:
        return super().mistakes(request) if "/v1/" in request.path else []

    def found(self, path: str, query: dict[str, str]) -> Answer:
        if path != "/api/management/v1/deployments/deployments":
            return Answer(status=404, body={"error": "not found"})
        other = {"name": query["search"] + " of another"}
        return Answer(status=200, body=[other, *(d for d in self.created if query["search"] in d["name"])])


class AwsServer(Server):
    owner = AwsIotJobs()
    object = {"job_id": "fw", "document_source": "https://s3/x", "arn_prefix": "arn:aws:iot:eu-west-1:1:thing/"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, dict[str, Any]] = {"fw": {"status": "IN_PROGRESS"}}

    def mistakes(self, request: Request) -> list[str]:
        return aws_mistakes(request)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        name, _, verb = path.removeprefix("/jobs/").partition("/")
        if method == "GET" and not verb:
            known = self.jobs.get(name)
            return Answer(status=200, body={"job": known}) if known else Answer(status=404, body={"message": "no job"})
        if method == "PUT" and verb == "cancel" and query == {"force": "true"}:
            assert re.fullmatch(r"[A-Z0-9_]{1,128}", body["reasonCode"])
            self.jobs[name]["status"] = "CANCELED"
            return Answer(status=200, body={})
        if method == "PUT" and not verb and re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
            if name in self.jobs:
                return Answer(status=409, body={"message": "exists"})
            assert 1 <= len(body["targets"]) <= 100
            self.jobs[name] = {"status": "IN_PROGRESS", "targets": body["targets"]}
            return Answer(status=200, body={})
        return unexpected(method, path)

    def is_back(self) -> bool:
        targets = [target for name, job in self.jobs.items() if name != "fw" for target in job["targets"]]
        wanted = [self.object["arn_prefix"] + f"d{n}" for n in range(3)]
        return self.jobs["fw"]["status"] == "CANCELED" and targets == wanted


class AzureServer(Server):
    owner, object = AzureDeviceUpdate(), {"instance": "i", "group": "g", "provider": "acme", "update": "fw"}
    described = AZURE

    def __init__(self) -> None:
        super().__init__()
        self.deployments: dict[str, Any] = {}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        found = re.fullmatch(r"/deviceUpdate/i/management/groups/g/deployments/([\w-]+)", path)
        if found is None or query != {"api-version": "2022-10-01"}:
            return unexpected(method, path)
        if method == "PUT":
            assert body["deploymentId"] == found[1]
            assert found[1] not in self.deployments
            self.deployments[found[1]] = body
        known = self.deployments.get(found[1])
        return Answer(status=200, body=known) if known else Answer(status=404, body={"error": {"code": "NotFound"}})

    def is_back(self) -> bool:
        updates = [d["update"]["updateId"] for d in self.deployments.values()]
        return updates == [{"provider": "acme", "name": "fw", "version": GOOD}]
