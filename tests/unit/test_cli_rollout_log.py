"""`tidegate rollout explain` and `replay` over a log: sentences and plots, and every verdict again, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from analytics.rollouts.seal import Seal
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from tests.gate_stage_world import World
from tests.gate_world import plan_of, plan_record
from tests.process_files import Files, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ingest.contract.records import Outgoing

KEY = Ed25519PrivateKey.generate()


def public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def failed() -> list[Outgoing]:
    world = World()
    world.seal = Seal(KEY)
    world.restart()
    installs = world.start()
    world.install(installs)
    world.crash(installs)
    return [plan_record(plan_of()), *world.appended]


async def kept(path: Path, records: Sequence[Outgoing]) -> None:
    log = SqliteLog(path, SystemClock())
    await log.ensure_topics(every_topic())
    await log.append(records)
    await log.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    files = Files(tmp_path)
    asyncio.run(kept(tmp_path / "log.db", failed()))
    return files.write("analytics")


def test_a_verdict_is_explained_in_sentences_with_a_plot_for_the_terminal_and_a_picture(
    config: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "evidence.svg"
    told = run("rollout", "explain", config, "fw-2.3", "--svg", picture)
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0].startswith("12 canaries and 12 controls in ")
    assert any(line.startswith("fail, ") and "crash has reached" in line for line in lines)
    assert "fw-2.3: log10 of weight x e-value" in lines, "the plot"
    assert "  -  1/alpha" in lines
    curves = [node for node in ET.parse(picture).getroot() if node.tag.endswith("polyline")]  # noqa: S314 - our own file
    assert len(curves) == len(plan_of().guards)
    found = json.loads(run("rollout", "explain", config, "fw-2.3", "--json").output)
    assert found["sentences"] == lines[: len(found["sentences"])]
    assert found["traces"][0]["harm"][-1] >= found["limit"]
    assert run("rollout", "explain", config, "nothing").exit_code == 1


def test_every_verdict_of_the_log_is_reproduced_and_signed_by_the_key_that_is_named(config: Path) -> None:
    told = run("rollout", "replay", config, "fw-2.3", "--key", public(KEY), "--json")
    assert told.exit_code == 0, told.output
    found = [json.loads(line) for line in told.output.splitlines() if line.startswith("{")]
    assert {one["problem"] for one in found} == {""}
    assert found[-1]["verdict"] == "fail"
    stranger = run("rollout", "replay", config, "fw-2.3", "--key", public(Ed25519PrivateKey.generate()))
    assert stranger.exit_code == 1
    assert "unknown key" in stranger.output
