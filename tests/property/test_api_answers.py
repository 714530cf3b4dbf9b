"""Whatever comes in: regular expressions match as Python's do, nothing that a record or a body holds gets out as an error."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.api.config import ApiConfig
from dashboards.api.devices import DeviceFilter, DeviceTable
from dashboards.api.gates import gate_data
from dashboards.api.plan_mistakes import Mistake
from dashboards.api.plans import BadPlanError, read_plan
from dashboards.api.projection import TOPICS, Projection
from dashboards.api.regex import MAX_PATTERN, Matcher, PatternError
from dashboards.api.rollouts import Rollout
from dashboards.api.selectors import BadQueryError, Selector, parse_query
from ingest.contract.events import DeviceEvent, DeviceState, Outcome
from ingest.contract.records import Record
from ingest.runtime.gateways import Gateways
from tests.api_records import NOW, Gateway
from tests.api_rollouts import plan, plan_body, verdict

LITERALS = st.sampled_from(["a", "b", "-", "\\.", ".", "[ab]", "[^a]", "[a-c]", "\\d", "\\w", "\\\\"])


def repeated(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.builds("({}){}".format, inner, st.sampled_from(["", "*", "+", "?"]))
    single = st.builds("{}{}".format, LITERALS, st.sampled_from(["", "*", "+", "?"]))
    return st.lists(st.one_of(single, groups), max_size=4).map("".join) | st.builds("{}|{}".format, inner, inner)


PATTERNS = st.recursive(LITERALS, repeated, max_leaves=8).filter(lambda pattern: len(pattern) <= MAX_PATTERN)


@given(PATTERNS, st.lists(st.text(alphabet="abc-.1\\", max_size=8), max_size=10))
def test_patterns_match_as_python_matches_them(pattern: str, texts: list[str]) -> None:
    matcher, oracle = Matcher(pattern), re.compile(pattern, re.DOTALL | re.ASCII)
    for text in texts:
        assert matcher.matches(text) == bool(oracle.fullmatch(text)), text


@given(st.text(alphabet="ab()[]|*+?.\\^${}-&~", max_size=30))
def test_any_pattern_is_refused_or_means_what_python_takes_it_for(pattern: str) -> None:
    with contextlib.suppress(PatternError):
        matcher = Matcher(pattern)
        assert matcher.matches("ab") == bool(re.fullmatch(pattern, "ab", re.DOTALL | re.ASCII))


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(.*)(.*)(.*)(.*)(.*)b", "((a*)*)*b", "(a?)" * 40 + "b"])
def test_patterns_that_make_others_run_for_ever_do_not(pattern: str) -> None:
    matcher = Matcher(pattern)
    for _ in range(1000):
        assert not matcher.matches("a" * 127)


@given(st.text(max_size=60))
def test_any_query_is_parsed_or_refused(query: str) -> None:
    with contextlib.suppress(BadQueryError):
        parse_query(query)


@given(st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_a_quoted_value_is_what_it_quotes(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    parsed = parse_query(f'x{{rollout="{escaped}"}}')
    assert isinstance(parsed, Selector)
    assert parsed.matches({"__name__": "x", "rollout": value})


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*plan_body(), "tenant", "state", "other"]), JSON))
def test_any_body_is_a_plan_or_has_mistakes_with_paths(changed: dict[str, Any]) -> None:
    body = msgspec.json.encode(plan_body() | changed)
    mistakes: list[Mistake] | None = None
    try:
        read_plan(body, "acme")
    except BadPlanError as error:
        mistakes = error.mistakes
    assert mistakes is None or (mistakes and all(m.path.startswith("$") and m.message for m in mistakes))


@given(
    st.sampled_from(TOPICS), st.none() | st.binary(max_size=60) | JSON.map(msgspec.json.encode), st.binary(max_size=9)
)
def test_no_record_whatever_it_holds_raises(topic: str, value: bytes | None, key: bytes) -> None:
    projection = Projection(ApiConfig(), Gateways([Gateway("acme", "north").config()]))
    headers = (("tidegate_key", key), ("tidegate_signature", key))
    applied = projection.apply(Record(topic, 0, 0, key, value, headers, NOW))
    assert applied.outcome != "taken"


FLOATS = st.floats(allow_nan=True, allow_infinity=True)
NUMBERS = st.fixed_dictionaries(dict.fromkeys(("score", "e_value", "log10_e", "alpha"), FLOATS))


@given(st.none() | st.sampled_from(Outcome), NUMBERS)
def test_a_gate_answer_never_holds_null(outcome: Outcome | None, numbers: dict[str, float]) -> None:
    rollout = Rollout("fw")
    rollout.plan = plan("fw")
    if outcome:
        rollout.verdict = verdict("fw", outcome, **numbers)
    answer = msgspec.json.decode(msgspec.json.encode(gate_data(rollout, "http://x")))
    assert None not in answer.values()
    assert set(answer) == {"rollout", "verdict", "score", "e_value", "log10_e", "alpha", "n_canary", "n_control",
                           "reason", "evidence_url", "at"}  # fmt: skip


CHANGES = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["north", "south"]),
        st.sampled_from(DeviceState),
        st.sampled_from(["1", "2"]),
        st.integers(0, 5),
    ),
    max_size=40,
)


@given(CHANGES, st.integers(1, 3))
def test_devices_are_counted_and_paged_like_a_plain_loop_does(changes: list[Any], size: int) -> None:
    table, kept = DeviceTable(limit=100), dict[tuple[str, str], DeviceEvent]()
    for name, site, state, firmware, at in changes:
        made = Gateway("acme", site).device(name, at=at, state=state, firmware=firmware)
        event = msgspec.json.decode(made.value or b"", type=DeviceEvent)
        table.put(event)
        if (site, name) not in kept or at >= kept[site, name].at:
            kept[site, name] = event
    assert table.summary().states == Counter(event.state for event in kept.values())
    assert {b.value: b.devices for b in table.summary().firmware} == Counter(e.firmware for e in kept.values())
    listed: list[DeviceEvent] = []
    while page := table.page(DeviceFilter(), (listed[-1].site, listed[-1].device) if listed else None, size):
        listed += page
    assert listed == [kept[key] for key in sorted(kept)]
