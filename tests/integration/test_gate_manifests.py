"""The example manifests against a running API: what each system would send is sent, what it would read is read."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner

from compose.cli.main import tidegate
from dashboards.api.plans import read_plan
from ingest.contract.events import Outcome
from tests.api_centre import NO_TLS, Centre, running
from tests.api_rollouts import plan_record, verdict_record
from tests.delivery_tools import Phase, documents, flagger_metric, flagger_webhook, measure, named, substituted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
ASK_NOTHING = {"kubernetes-rbac.yaml"}
"""Examples that ask no gate."""
GATE = "https://gate.example"
RELEASE = "firmware-2.3.0"
OUTCOMES = {"good": Outcome.PASS, "bad": Outcome.FAIL, "open": Outcome.INCONCLUSIVE}
"""Rollouts that the gate has judged."""


@asynccontextmanager
async def judged(folder: Path) -> AsyncIterator[Centre]:
    async with running(Centre(folder, [])) as centre:
        for name, outcome in OUTCOMES.items():
            await centre.put(plan_record(name), verdict_record(name, outcome))
            await centre.eventually(f"/v1/gates/{name}", lambda seen, wanted=outcome: seen["data"]["verdict"] == wanted)
        yield centre


def plain() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=60.0, trust_env=False, verify=NO_TLS)


def address_of(centre: Centre, text: Any) -> Any:
    # The manifests' address is the API's; where credentials stand before the host, they stay.
    token = centre.tokens["acme"].token
    host = centre.api.address.removeprefix("http://")
    text = substituted(text, "https://any:%s@gate.example", {"${tidegate_token}": f"http://any:{token}@{host}"})
    text = substituted(text, "https://any:%s@gate.example", {"{{args.token}}": f"http://any:{token}@{host}"})
    return substituted(text, "%s", {GATE: centre.api.address})


async def test_argo_rollouts_reads_the_verdict_through_each_of_its_providers(tmp_path: Path) -> None:
    found = documents(EXAMPLES / "argo-rollouts.yaml")
    phases = {"good": Phase.SUCCESSFUL, "bad": Phase.FAILED, "open": Phase.INCONCLUSIVE, "nobody's": Phase.ERROR}
    async with judged(tmp_path) as centre, plain() as client:
        for template in [doc for doc in found if doc["kind"] == "AnalysisTemplate"]:
            (metric,) = template["spec"]["metrics"]
            assert (metric["failureLimit"], metric["consecutiveSuccessLimit"]) == (0, 1)
            assert metric["inconclusiveLimit"] > 10_000, "the first open answer would pause the rollout"
            for rollout, phase in phases.items():
                arguments = {"rollout": rollout, "token": centre.tokens["acme"].token}
                ready = substituted(address_of(centre, metric), "{{args.%s}}", arguments)
                assert await measure(client, ready) is phase, (template["metadata"]["name"], rollout)


def test_argo_rollouts_analyses_name_templates_that_are_there_and_all_their_arguments() -> None:
    found = documents(EXAMPLES / "argo-rollouts.yaml")
    (rollout,) = [doc for doc in found if doc["kind"] == "Rollout"]
    analyses = [step["analysis"] for step in rollout["spec"]["strategy"]["canary"]["steps"] if "analysis" in step]
    assert analyses
    for analysis in analyses:
        for used in analysis["templates"]:
            template = named(found, "AnalysisTemplate", used["templateName"])
            wanted = {one["name"] for one in template["spec"]["args"] if "valueFrom" not in one}
            assert wanted == {one["name"] for one in analysis["args"]}


async def test_flagger_promotes_on_pass_rolls_back_on_fail_and_waits_otherwise(tmp_path: Path) -> None:
    found = documents(EXAMPLES / "flagger.yaml")
    template, canary = named(found, "MetricTemplate", "edge-harm"), named(found, "Canary", "device-api")
    decided = {}
    async with judged(tmp_path) as centre, plain() as client:
        for rollout in OUTCOMES:
            ready = address_of(centre, substituted([template, canary], "%s", {RELEASE: rollout}))
            analysis = ready[1]["spec"]["analysis"]
            hooks = {hook["type"]: await flagger_webhook(client, hook, ready[1]) for hook in analysis["webhooks"]}
            (metric,) = analysis["metrics"]
            assert metric["templateRef"]["name"] == template["metadata"]["name"]
            within = await flagger_metric(client, ready[0], metric, centre.tokens["acme"].token)
            decided[rollout] = (hooks["confirm-promotion"], hooks["rollback"], hooks["event"], within)
    assert decided == {
        "good": (True, False, True, True),
        "bad": (False, True, True, False),
        "open": (False, False, True, True),
    }


@pytest.mark.parametrize("manifest", ["flux.yaml", "argo-cd.yaml"])
async def test_a_job_of_the_cluster_ends_well_only_on_pass(manifest: str, tmp_path: Path) -> None:
    (job,) = [doc for doc in documents(EXAMPLES / manifest) if doc["kind"] == "Job"]
    pod = job["spec"]["template"]["spec"]
    assert (job["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never"), "a fail is an answer, not an accident"
    (container,) = pod["containers"]
    assert container["image"].endswith(f":{version()}")
    codes = {}
    async with judged(tmp_path) as centre:
        for rollout in OUTCOMES:
            ready = substituted(container, "%s", {"${rollout}": rollout, RELEASE: rollout, "3600": "0"})
            assert ready["command"] == ["tidegate"]
            given = {one["name"]: one.get("value", centre.tokens["acme"].token) for one in ready["env"]}
            assert [one["name"] for one in ready["env"] if "valueFrom" in one] == ["TIDEGATE_TOKEN"]
            ended = await asyncio.to_thread(CliRunner().invoke, tidegate, ready["args"], env=address_of(centre, given))
            codes[rollout] = ended.exit_code
    assert codes == {"good": 0, "bad": 1, "open": 3}


def test_flux_waits_for_the_job_before_what_depends_on_it_and_longer_than_the_job_does() -> None:
    found = documents(EXAMPLES / "flux.yaml")
    gate, app = named(found, "Kustomization", "edge-gate"), named(found, "Kustomization", "app")
    (job,) = [doc for doc in found if doc["kind"] == "Job"]
    assert {"name": gate["metadata"]["name"]} in app["spec"]["dependsOn"]
    assert (gate["spec"]["wait"], gate["spec"]["force"]) == (True, True)
    assert job["metadata"]["name"] == "edge-gate-${rollout}", "another rollout is another Job"
    assert gate["spec"]["postBuild"]["substitute"] == {"rollout": RELEASE}
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    waits_s = float(arguments[arguments.index("--timeout") + 1])
    assert 60 * float(gate["spec"]["timeout"].removesuffix("m")) > waits_s + 300


def test_argo_cd_runs_the_job_before_each_sync_and_asks_again_later() -> None:
    found = documents(EXAMPLES / "argo-cd.yaml")
    (job,) = [doc for doc in found if doc["kind"] == "Job"]
    assert job["metadata"]["annotations"] == {
        "argocd.argoproj.io/hook": "PreSync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
    }
    application = named(found, "Application", "device-api")
    assert application["spec"]["syncPolicy"]["retry"]["limit"] > 0


async def test_github_actions_starts_the_rollout_and_ends_as_the_gate_decides(tmp_path: Path) -> None:
    (workflow,) = documents(EXAMPLES / "github-actions.yaml")
    (job,) = workflow["jobs"].values()
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    assert steps["Install"].endswith(f"=={version()}")
    assert job["env"]["TIDEGATE_TOKEN"] == "${{ secrets.TIDEGATE_TOKEN }}"
    waits_s = int(re.search(r"--timeout (\d+)", steps["Ask the gate"])[1])
    assert 60 * job["timeout-minutes"] > waits_s + 600
    (tmp_path / "rollout.toml").write_text((EXAMPLES / "rollout.toml").read_text())
    summary = tmp_path / "summary"
    ended = {}
    async with judged(tmp_path) as centre:
        assert await shell(centre, steps["Start"], job["env"], tmp_path) == 0
        await centre.eventually(
            f"/v1/gates/{job['env']['ROLLOUT']}", lambda seen: "no verdict yet" in seen["data"]["reason"]
        )
        for rollout in OUTCOMES:
            environment = job["env"] | {"ROLLOUT": rollout, "GITHUB_STEP_SUMMARY": str(summary)}
            asked = steps["Ask the gate"].replace(str(waits_s), "0")
            ended[rollout] = await shell(centre, asked, environment, tmp_path)
    assert ended == {"good": 0, "bad": 1, "open": 3}
    assert summary.read_text().splitlines() == ["pass: because", "fail: because", "inconclusive: because"]


def test_the_example_plan_is_taken_as_it_is() -> None:
    body = msgspec.json.encode(tomllib.loads((EXAMPLES / "rollout.toml").read_text()))
    assert read_plan(body, "acme").rollout == RELEASE


def test_every_example_asks_for_the_example_plan_at_one_address() -> None:
    for path in (each for each in EXAMPLES.glob("*.yaml") if each.name not in ASK_NOTHING):
        text = path.read_text()
        assert RELEASE in text, path.name
        assert set(re.findall(r"https://(?:[^@\s\"]+@)?([\w.-]+)", text)) <= {
            "gate.example",
            "git.example",
            "kubernetes.default.svc",
        }


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


async def shell(centre: Centre, script: str, environment: dict[str, Any], folder: Path) -> int:
    """A step as GitHub's runners run it (bash, stopping at the first failure), with the command line on the path."""
    command = folder / "bin" / "tidegate"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m compose.cli "$@"\n')
    command.chmod(0o755)
    given = {name: str(value) for name, value in address_of(centre, environment).items()}
    process = await asyncio.create_subprocess_exec(
        "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script,
        cwd=folder,
        env={
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            **given,
            "TIDEGATE_TOKEN": centre.tokens["acme"].token,
        },
    )  # fmt: skip
    return await process.wait()
