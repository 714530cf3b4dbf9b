"""`--json` of every command: nothing but JSON on standard output, one value a line, whatever the command says to people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from compose.cli.main import tidegate
from tests.command_house import CommandHouse
from tests.unit.test_cli_help import EVERY, NO_DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

WHY = ("--reason", "seen on the bench")
TRIED: dict[str, tuple[str, ...]] = {
    "check": ("edge", "edge.toml"),
    "stack down": ("--dir", "stack"),
    "stack status": ("--dir", "stack"),
    "top": ("--once",),
    "status": (),
    "doctor": ("ingest.toml",),
    "dead explain": ("ingest.toml", "0"),
    "dead list": ("ingest.toml",),
    "dead replay": ("ingest.toml", "--reason", "unknown_gateway"),
    "alerts acknowledge": ("analytics.toml", "f9"),
    "alerts check": ("rules.toml",),
    "alerts deliveries": ("analytics.toml",),
    "alerts discard": ("analytics.toml", "2"),
    "alerts maintenance add": (
        *("analytics.toml", "site=north", "--tenant", "acme"),
        *("--days", "daily", "--at", "02:00", "--for", "2h"),
    ),
    "alerts maintenance list": ("analytics.toml", "--all"),
    "alerts maintenance remove": ("analytics.toml", "w-9"),
    "alerts replay": ("analytics.toml", "1"),
    "alerts silence": ("analytics.toml", "site=north", "--tenant", "acme"),
    "alerts silences": ("analytics.toml", "--all"),
    "alerts test": ("rules.test.toml",),
    "alerts unsilence": ("analytics.toml", "s-9"),
    "anomaly list": (),
    "anomaly said": ("--all",),
    "incidents list": (),
    "incidents show": ("inc-1",),
    "rollout abort": ("aborting", *WHY),
    "rollout approve": ("approving", *WHY),
    "rollout end": ("ending",),
    "rollout gate": ("fw-2.3.0",),
    "rollout judge": ("plan.json", "evidence.jsonl"),
    "rollout list": (),
    "rollout override": ("overriding", *WHY),
    "rollout pause": ("pausing", *WHY),
    "rollout plan": ("plan.json",),
    "rollout power": ("plan.json", "--devices", "20", "--runs", "10"),
    "rollout resume": ("resuming", *WHY),
    "rollout start": ("plan.json",),
    "audit list": ("analytics.toml",),
    "audit verify": ("analytics.toml",),
    "bench api": ("--quick", "--only", "reads", "--dir", "."),
    "bench crash": ("--seeds", "1", "--workers", "1"),
    "bench gate": ("--row", "identical", "--runs", "1", "--workers", "1"),
    "bench incidents": ("--stories", "1"),
    "detect": ("pump.csv",),
    "grafana export": ("grafana",),
    "token create": ("api.toml", "ops", "--tenant", "acme", "--scope", "read"),
    "token list": ("api.toml",),
    "keys generate": ("new.pem",),
    "keys token": ("new-token",),
}
"""By command: arguments, tried in a folder with files of all processes, beside an API that knows something of everything."""

ELSEWHERE = {
    "demo": "e2e/test_demo.py",
    "edge status": "e2e/test_edge_watched.py",
    "tap": "e2e/test_edge_watched.py",
    "samples pull": "e2e/test_samples_pull.py",
    "samples get": "e2e/test_samples_pull.py",
    "stack up": "integration/test_stack_command.py",
    "stack obtain": "integration/test_stack_command.py",
    "alerts history": "unit/test_cli_commands.py",
    "alerts send-test": "unit/test_cli_deliveries.py",
    "rollout assignment": "unit/test_gate_assignment.py",
    "rollout explain": "unit/test_cli_rollout_log.py",
    "rollout replay": "unit/test_cli_rollout_log.py",
    "rollout rehearse": "integration/test_rehearse.py",
    "token revoke": "integration/test_api_tokens.py",
    "grafana push": "unit/test_grafana.py",
    "bench alerts": "unit/test_bench_alerts.py",
    "bench detect": "unit/test_cli_bench_detect.py",
    "bench drain": "integration/test_bench_drain.py",
    "bench edge": "integration/test_bench_edge.py",
    "bench flood": "integration/test_bench_flood.py",
    "bench start": "integration/test_bench_start.py",
}
"""What needs more than that, and the file that asks it for JSON."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandHouse]:
    with CommandHouse(tmp_path_factory.mktemp("house")).opened() as opened:
        runner = CliRunner()
        for name, options in (("rules.toml", ()), ("rules.test.toml", ("--tests",))):
            (opened.folder / name).write_text(runner.invoke(tidegate, ["alerts", "starter", *options]).stdout)
        # A list of none prints nothing, and which command is tried before it is not known.
        made = ("token", "create", str(opened.folder / "api.toml"), "watch", "--tenant", "acme", "--scope", "read")
        assert runner.invoke(tidegate, made).exit_code == 0
        yield opened


@pytest.mark.parametrize("name", TRIED)
def test_nothing_but_json_is_printed(house: CommandHouse, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(house.folder)
    told = CliRunner(env=house.env).invoke(tidegate, [*name.split(), *TRIED[name], "--json"])
    assert told.exit_code in {0, 1}, told.output
    assert told.exception is None or isinstance(told.exception, SystemExit), told.output
    assert list(values(told.stdout)), told.output


def values(text: str) -> Iterator[Any]:
    """One a line, or one in all."""
    try:
        yield json.loads(text)
    except ValueError:
        yield from map(json.loads, text.splitlines())


def test_every_command_with_json_is_tried_here_or_elsewhere() -> None:
    assert not TRIED.keys() & ELSEWHERE.keys()
    assert TRIED.keys() | ELSEWHERE.keys() == EVERY.keys() - NO_DATA.keys()
    for name, file in ELSEWHERE.items():
        text = (Path(__file__).parents[1] / file).read_text()
        assert '"--json"' in text or '"json"' in text, file
        assert f'"{name.split()[-1]}"' in text, f"{name}: {file}"
