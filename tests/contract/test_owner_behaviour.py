"""What every way back does, whoever owns the rollout: once, resumed after a crash at any request, refused with reasons, dry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from analytics.rollback.owners.drive import drive, dry
from analytics.rollback.owners.owner import Answer, PassingError, RefusedError, Request, missing
from tests.owner_clusters import ArgoCdServer, ArgoRolloutsServer, KubernetesServer
from tests.owner_fleets import AwsServer, HawkBitServer, OldMenderServer
from tests.owner_server import Server
from tests.owner_servers import SERVERS


class CrashError(Exception):
    """The process is gone."""


@pytest.fixture(params=SERVERS, ids=lambda server: server.__name__)
def server(request: pytest.FixtureRequest) -> Server:
    return request.param()


async def go_back(server: Server, *, crash_at: int = 10_000, arrived: bool = True) -> None:
    """One life of a process; it ends at its `crash_at`-th request, which has `arrived` or not."""
    count = 0

    async def send(request: Request) -> Answer:
        nonlocal count
        count += 1
        if count == crash_at:
            if arrived:
                server.handle(request)
            raise CrashError
        return server.handle(request)

    await drive(server.owner.go_back(server.order()), send)


async def test_the_bad_release_goes_no_further_and_what_can_be_undone_is(server: Server) -> None:
    await go_back(server)
    assert server.is_back()


async def test_the_same_order_again_only_looks(server: Server) -> None:
    await go_back(server)
    server.log.clear()
    await go_back(server)
    assert not [request for request in server.log if request.changes]
    assert server.is_back()


@pytest.mark.parametrize("arrived", [False, True], ids=["lost", "arrived"])
async def test_after_a_crash_at_any_request_nothing_is_done_twice_and_nothing_forgotten(
    server: Server,
    arrived: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await go_back(server)
    requests = len(server.log)
    for crash_at in range(1, requests + 1):
        again = type(server)()
        with pytest.raises(CrashError):
            await go_back(again, crash_at=crash_at, arrived=arrived)
        await go_back(again)
        assert again.is_back(), f"after a crash at request {crash_at} of {requests}"


async def test_a_dry_run_tells_the_exact_requests_and_changes_nothing(server: Server) -> None:
    planned: list[Request] = []

    async def send(request: Request) -> Answer:
        return server.handle(request)

    await drive(server.owner.go_back(server.order()), dry(send, planned))
    assert not [request for request in server.log if request.changes]
    server.log.clear()
    await go_back(server)
    done = [request for request in server.log if request.changes]
    assert [(r.method, r.body) for r in planned][:1] == [(r.method, r.body) for r in done][:1]
    assert len(planned) >= 1


@pytest.mark.parametrize(
    ("status", "error"), [(403, RefusedError), (401, RefusedError), (503, PassingError), (429, PassingError)]
)
async def test_what_the_owner_forbids_is_reported_as_such_and_what_may_pass_is_tried_again(
    server: Server, status: int, error: type[Exception]
) -> None:
    async def send(request: Request) -> Answer:
        return Answer(status=status, body={"message": "because"})

    with pytest.raises(error, match=f"was answered {status}: because"):
        await drive(server.owner.go_back(server.order()), send)


def test_an_owner_says_which_fields_it_needs(server: Server) -> None:
    assert missing(server.owner, server.object) == []
    assert missing(server.owner, {}) == list(server.owner.needs)


async def test_kubernetes_has_nothing_to_go_back_to_when_the_old_replica_sets_are_gone() -> None:
    server = KubernetesServer()
    server.sets = server.sets[:1]
    with pytest.raises(RefusedError, match="nothing to go back to"):
        await go_back(server)


async def test_kubernetes_takes_the_revision_that_is_named() -> None:
    server = KubernetesServer()
    server.object = server.object | {"revision": "3"}
    await go_back(server)
    assert server.patches == 1


async def test_an_argo_rollout_that_is_promoted_cannot_be_aborted() -> None:
    server = ArgoRolloutsServer()
    server.status = {"stableRS": "new", "currentPodHash": "new"}
    with pytest.raises(RefusedError, match="promoted in full"):
        await go_back(server)


class SlowArgoCdServer(ArgoCdServer):
    """An operation is asked for, then taken up, then done, each seen by one look."""

    states: tuple[dict[str, object], ...] = ()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        if method == "POST":
            if self.states:
                words = "error setting app operation: another operation is already in progress"
                return Answer(status=400, body={"error": words, "code": 9, "message": words})
            self.states = ({"operation": {"sync": {}}}, {"status": {"operationState": {"phase": "Running"}}})
        elif self.states:
            state, *rest = self.states
            self.states = tuple(rest)
            return Answer(status=200, body=super().answer(method, path, query, body, content_type).body | state)
        return super().answer(method, path, query, body, content_type)


async def test_argo_cd_waits_for_the_operation_under_way() -> None:
    server = SlowArgoCdServer()
    with pytest.raises(CrashError):
        await go_back(server, crash_at=3)
    for _ in range(2):
        with pytest.raises(PassingError, match="an operation is under way"):
            await go_back(server)
    await go_back(server)
    assert server.is_back()


async def test_argo_cds_operation_that_somebody_else_began_in_between_is_waited_for() -> None:
    server = SlowArgoCdServer()
    server.automated = None
    way = server.owner.go_back(server.order())
    looked = server.handle(next(way))
    server.states = ({}, {})
    with pytest.raises(PassingError, match="already in progress"):
        way.send(server.handle(way.send(looked)))


async def test_argo_cd_needs_an_older_revision() -> None:
    server = ArgoCdServer()
    server.history = [{"id": 1, "revision": "bad"}]
    with pytest.raises(RefusedError, match="no revision but bad"):
        await go_back(server)


async def test_a_hawkbit_rollout_that_waits_for_approval_is_waited_for() -> None:
    server = HawkBitServer()
    order = server.order()
    server.rollouts[6] = {"id": 6, "name": order.name, "status": "waiting_for_approval", "ds": 6}
    with pytest.raises(PassingError, match="waiting_for_approval"):
        await go_back(server)


async def test_an_old_mender_server_finds_our_deployment_among_others() -> None:
    server = OldMenderServer()
    await go_back(server)
    await go_back(server)
    assert server.is_back()


async def test_the_longest_reason_fits_every_description(server: Server) -> None:
    async def send(request: Request) -> Answer:
        return server.handle(request)

    order = msgspec.structs.replace(server.order(), reason="Ärger " * 1000)
    await drive(server.owner.go_back(order), send)
    assert server.is_back()


async def test_aws_jobs_take_a_hundred_things_each() -> None:
    server = AwsServer()

    async def send(request: Request) -> Answer:
        return server.handle(request)

    order = msgspec.structs.replace(server.order(), devices=[f"s/d{n}" for n in range(250)])
    await drive(server.owner.go_back(order), send)
    sizes = [len(job["targets"]) for name, job in server.jobs.items() if name != "fw"]
    assert sizes == [100, 100, 50]
