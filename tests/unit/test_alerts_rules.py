"""Rules of one's own: what a file may say, what becomes of it, and what is told of what cannot be meant."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from analytics.rules.file import KINDS, RulesError, load_rules
from analytics.rules.kinds import Rule
from analytics.rules.spans import MOST_MS, span_ms, span_text
from analytics.rules.trial import values
from analytics.rules.words import WordsError, check_words, fill_in
from compose.cli.main import tidegate
from tests.ruled import HOT, rules

if TYPE_CHECKING:
    pass


ROOT = Path(__file__).parents[2]
STARTER = (files("analytics.rules") / "starter.toml").read_text()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(tidegate, ["alerts", *map(str, arguments)])


def test_the_starter_rules_pass_their_own_tests_and_each_has_a_runbook(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(run("starter").output)
    (tmp_path / "rules.test.toml").write_text(run("starter", "--tests").output)
    assert run("check", tmp_path / "rules.toml").exit_code == 0
    tried = run("test", tmp_path / "rules.test.toml")
    assert tried.exit_code == 0, tried.output
    expected = tomllib.loads((files("analytics.rules") / "starter.test.toml").read_text())
    tested = {e["rule"] for t in expected["tests"] for e in t["expect"] if e.get("alerts")}
    for rule in rules(STARTER):
        assert (ROOT / "docs" / "runbooks" / f"{rule.name}.md").read_text().startswith(f"# {rule.name}\n")
        assert rule.name in tested
        assert "summary" in rule.annotations


def test_every_kind_is_told_in_the_documents() -> None:
    told = (ROOT / "docs" / "alerts.md").read_text()
    for name, kind in KINDS.items():
        (row,) = [line for line in told.splitlines() if line.startswith(f"| `{name}` |")]
        own = {f.encode_name for f in msgspec.structs.fields(kind)} - {
            f.encode_name for f in msgspec.structs.fields(Rule)
        }
        own -= {"stale_after"} | (own & {"statistic", "above", "below", "leave", "metric"} if name == "rate" else set())
        assert all(f"`{setting}`" in row for setting in own if name != "absence"), (name, own)


def test_a_rule_that_is_not_as_expected_is_told(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(STARTER.replace("above = 90.0\nleave = 85.0\nfor = ", "above = 95.0\nfor = "))
    (tmp_path / "t.toml").write_text((files("analytics.rules") / "starter.test.toml").read_text())
    result = run("test", tmp_path / "t.toml")
    assert result.exit_code == 1
    assert 'at 5m20s, MemoryHigh: expected {device="pump-1"}, found no such alert' in result.output
    told = json.loads(run("test", tmp_path / "t.toml", "--json").output)
    assert (told["ok"], told["tests"], told["failures"][0]["rule"]) == (False, 7, "MemoryHigh")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('expect = [{ at = "10s", rule = "Hto" }]', "Hto: there is no such rule"),
        (
            'expect = [{ at = "10s", rule = "Hot" }]',
            'did not expect {device="device-1", metric="temperature", site="site-1"}',
        ),
        (
            'expect = [{ at = "10s", rule = "Hot", alerts = [{ severity = "info" }] }]',
            "severity 'warning' instead of 'info'",
        ),
        ('width = "0s"', "width is 0"),
        ('events = [{ at = "1s", kind = "threshold" }]', "events of kind 'threshold' cannot be told"),
        ("expcet = []", "did you mean `expect`?"),
    ],
)
def test_what_is_wrong_with_a_test_is_told(tmp_path: Path, change: str, told: str) -> None:
    (tmp_path / "rules.toml").write_text(HOT)
    series = 'series = [{ metric = "temperature", values = "3 3 3" }]'
    (tmp_path / "t.toml").write_text(f'rules = "rules.toml"\n[[tests]]\nname = "t"\n{series}\n{change}\n')
    result = run("test", tmp_path / "t.toml")
    assert result.exit_code in {1, 2}
    assert told in result.output + result.stderr


def test_values_are_written_as_in_promtool() -> None:
    assert values("1 2x3 5+1x2 -1-0.5x1 _ _x2 7") == [1, 2, 2, 2, 2, 5, 6, 7, -1, -1.5, None, None, None, 7]
    for text in ("a", "1+x3", "_+1x2", "1x9999999"):
        with pytest.raises(ValueError, match=r"expected for example|more than"):
            values(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[rules]]\nname = 'A'\nkind = 'treshold'", "did you mean `threshold`?"),
        (HOT + "abov = 3", "rules[0] (Hot): abov: unknown setting; did you mean `above`?"),
        (HOT + "leave = 3.0", "leave is 3.0, expected at most above, 2.0"),
        (HOT + "below = 3.0", "needs either above or below, found both"),
        (HOT.replace("above = 2.0", ""), "needs either above or below, found neither"),
        (HOT + "for = '5 minutes'", "for: '5 minutes' is no duration"),
        (HOT + "keep_firing_for = '31d'", "longer than 30d"),
        (
            HOT + "annotations.summary = '{devcie}'",
            "annotations.summary: {devcie} is not known here; did you mean device?",
        ),
        (HOT + "annotations.summary = '{device.__class__}'", "expected a name like {device}"),
        (HOT + "annotations.summary = '{device!r}'", "expected a name like {device}"),
        (HOT + "annotations.summary = '{value:>99999}'", "expected a name like {device}"),
        (HOT + "annotations.summary = 'a { brace'", "written twice"),
        (HOT + "labels.device = 'x'", "labels.device: alerts of this kind have a label or number of that name"),
        (HOT + "severity = 'bad'", "severity: found 'bad', expected one of"),
        (HOT + HOT, "more than one rule is called 'Hot'"),
        (HOT.replace("Hot", "SiteDark"), "'SiteDark' is a rule that is always there"),
        (HOT.replace("Hot", "a/b"), "name is 'a/b'"),
        ("[[rules]]\nname = 'A'\nkind = 'absence'\nmetric = 'm'", "for: a rule of kind absence needs it"),
        ("[[rule]]\n", "expected tables [[rules]] and nothing else"),
        ("rules = 3", "expected tables [[rules]]"),
        ("[[rules", "not TOML"),
        (HOT.replace("2.0", "nan"), "expected a finite number"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    result = run("check", path)
    assert result.exit_code == 2
    assert told in result.stderr
    assert told in "\n".join(json.loads(run("check", path, "--json").output)["errors"])


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RulesError) as caught:
        rules(HOT + "abov = 1\n" + HOT.replace("Hot", "b/c") + HOT.replace("threshold", "nothing"))
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(RulesError, match="cannot be read"):
        load_rules(tmp_path / "absent.toml")
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    with pytest.raises(RulesError, match="not UTF-8"):
        load_rules(tmp_path / "odd.toml")


def test_durations() -> None:
    assert [span_ms(text) for text in ("0s", "90s", "5m", "1h30m", "7d", "250ms")] == [
        0,
        90_000,
        300_000,
        5_400_000,
        604_800_000,
        250,
    ]
    for text in ("", "5", "m", "5 m", "1x", "-5s"):
        with pytest.raises(ValueError, match="is no duration"):
            span_ms(text)


@given(st.integers(0, MOST_MS))
def test_a_duration_is_written_as_it_is_read(ms: int) -> None:
    assert span_ms(span_text(ms)) == ms


def test_words_are_strict() -> None:
    assert fill_in("{{{device}}} is {value:.1f}", {"device": "d", "value": 3.14}) == "{d} is 3.1"
    assert fill_in("{value}", {"value": 1e9}) == "1e+09"
    check_words("{label_core} {device}", {"device"})
    for text, words in {"{absent}": {}, "{device:.1f}": {"device": "d"}}.items():
        with pytest.raises(WordsError):
            fill_in(text, words)
