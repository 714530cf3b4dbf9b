"""What every way back does, whoever owns the rollout: once, resumed after a crash at any request, refused with reasons, dry."""

from __future__ import annotations

import msgspec
import pytest

from analytics.rollback.owners.drive import drive, dry
from analytics.rollback.owners.owner import Answer, PassingError, RefusedError, Request, missing
from tests.owner_servers import (
    SERVERS,
    ArgoCdServer,
    ArgoRolloutsServer,
    AwsServer,
    HawkBitServer,
    KubernetesServer,
    Server,
)


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


async def test_argo_cd_waits_for_the_operation_under_way_and_needs_an_older_revision() -> None:
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


async def test_aws_jobs_take_a_hundred_things_each() -> None:
    server = AwsServer()

    async def send(request: Request) -> Answer:
        return server.handle(request)

    order = msgspec.structs.replace(server.order(), devices=[f"s/d{n}" for n in range(250)])
    await drive(server.owner.go_back(order), send)
    sizes = [len(job["targets"]) for name, job in server.jobs.items() if name != "fw"]
    assert sizes == [100, 100, 50]
