"""Alerts of failed rollouts and broken accounts: when they begin, and what ends them."""

from __future__ import annotations

import pytest

from analytics.alerts import rules
from analytics.alerts.config import RuleConfig
from ingest.contract.events import (
    Outcome,
    PlanState,
    RollbackPhase,
)
from ingest.contract.records import Outgoing
from ingest.contract.topics import ACCOUNTS
from tests.alert_world import (
    FIRING,
    PENDING,
    RESOLVED,
    T0,
    Fleet,
    Watched,
    account,
    rollback,
    states,
    verdict,
)
from tests.gate_world import plan_of, plan_record


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(("north", "south"), per_site=3)


def test_a_failed_rollout_alerts_until_its_rollback_is_complete(fleet: Fleet) -> None:
    watched = Watched(fleet)
    assert not watched.feed(verdict(Outcome.INCONCLUSIVE))
    (fired,) = watched.feed(verdict())
    assert (fired.name, fired.state, fired.labels) == (rules.ROLLOUT_FAILED, FIRING, {"rollout": "fw-2.3"})
    assert fired.annotations["summary"] == "rollout fw-2.3 does harm: crash: 9 of 9 first events are canaries'"
    assert not watched.feed(rollback(RollbackPhase.COMMANDED))
    assert states(watched.feed(rollback(RollbackPhase.COMPLETE))) == [(rules.ROLLOUT_FAILED, RESOLVED)]
    assert not watched.feed(verdict(), rollback(RollbackPhase.COMPLETE), verdict())


def test_a_failed_rollout_that_its_owner_ends_alarms_nobody_any_more(fleet: Fleet) -> None:
    watched = Watched(fleet)
    watched.feed(plan_record(plan_of()), verdict())
    ended = plan_record(plan_of(state=PlanState.ENDED))
    assert states(watched.feed(ended)) == [(rules.ROLLOUT_FAILED, RESOLVED)]
    assert not watched.feed(verdict(), ended)


def test_a_rollback_that_is_read_before_its_verdict_hides_no_failure(fleet: Fleet) -> None:
    watched = Watched(fleet)
    assert not watched.feed(rollback(RollbackPhase.COMPLETE))
    assert [state for _, state in states(watched.feed(verdict()))] == [FIRING, RESOLVED]
    assert not watched.feed(verdict())


def test_another_rollout_of_the_same_name_may_fail_again(fleet: Fleet) -> None:
    watched = Watched(fleet)
    watched.feed(verdict(), rollback(RollbackPhase.COMPLETE))
    assert len(watched.feed(verdict(since=T0 + 1))) == 1
    watched.feed(plan_record(plan_of(rollout="b", state=PlanState.ENDED)), plan_record(plan_of(rollout="b")))
    assert len(watched.feed(verdict(rollout="b"))) == 1


def test_a_breach_must_last_before_it_alerts(fleet: Fleet) -> None:
    watched = Watched(fleet)
    assert [state for _, state in states(watched.feed(account("gap")))] == [PENDING]
    assert not watched.wait(59)
    (change,) = watched.feed(account("balanced"))  # the missing batch was late
    assert (change.state, change.reason, change.starts_at) == (RESOLVED, "ceased", 0)
    watched.feed(account("unbalanced"))
    assert states(watched.wait(61)) == [(rules.LEDGER_BREACH, FIRING)]
    assert states(watched.feed(account("balanced"))) == [(rules.LEDGER_BREACH, RESOLVED)]


def test_an_account_that_the_door_gave_up_alarms_nobody_any_more(fleet: Fleet) -> None:
    watched = Watched(fleet, ledger_breach=RuleConfig())
    breach = account("gap")
    assert len(watched.feed(breach, account("gap", boot="boot-2"))) == 2
    (resolved,) = watched.feed(Outgoing(ACCOUNTS, breach.key, None))
    assert (resolved.state, resolved.labels["boot"]) == (RESOLVED, "boot-1")
    assert not watched.feed(Outgoing(ACCOUNTS, b"no/key", None))
