"""`tidegate rollout replay`: every recorded verdict again, from the recorded evidence, compared byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from analytics.rollouts.policy import policy_hash
from analytics.rollouts.replay import ReplayError, differences, recorded_evidence, reproduce
from analytics.rollouts.seal import signature_problem, signer_of
from compose.cli.ending import FAILED, fail, refuse
from compose.cli.log import every_record, with_log
from ingest.contract.events import RolloutPlan, Verdict
from ingest.contract.records import read_event, rfc3339
from ingest.contract.topics import EVIDENCE, PLANS, VERDICTS
from ingest.runtime.secrets import SecretError, parse_public_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from ingest.contract.events import Evidence
    from ingest.contract.records import Record
    from ingest.runtime.log.port import Log

T = TypeVar("T")


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded verdict; `problem` is empty when it was reproduced byte for byte, and signed as it should be.

    `key` is the id of the key that signed it.
    """

    at: int
    verdict: str
    log10_e: float
    evidence: int
    key: str = ""
    problem: str = ""


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("name")
@click.option("--key", "texts", multiple=True, help="A gate's public key (base64): each verdict must be signed by one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a verdict.")
def replay(config: Path, name: str, texts: tuple[str, ...], *, as_json: bool) -> None:
    """Judge the rollout NAME again from the log; CONFIG is any process's file: its [log] is read.

    Exit code 0 when every verdict that the log holds is reproduced byte for byte (and signed by a given key), 1 when one is not.

    \b
    Examples:
      tidegate rollout replay analytics.toml firmware-2.3.0
      tidegate rollout replay analytics.toml firmware-2.3.0 --key "$(cat gate.pub)"
    """

    async def look(log: Log) -> list[Record]:
        return [record for topic in (PLANS, EVIDENCE, VERDICTS) for record in await every_record(log, topic)]

    try:
        keys = parse_public_keys(texts)
        found = replayed(name, with_log(config, look), keys)
    except SecretError as error:
        refuse(str(error))
    except ReplayError as error:
        fail(str(error))
    if not found:
        fail(f"{name}: the log holds no verdict of a rollout of that name")
    for one in found:
        click.echo(msgspec.json.encode(one).decode() if as_json else _line(one))
    bad = sum(bool(one.problem) for one in found)
    if not as_json:
        click.echo(f"{len(found) - bad} of {len(found)} verdicts reproduced byte for byte")
    sys.exit(FAILED if bad else 0)


def replayed(name: str, records: Sequence[Record], keys: Mapping[str, Ed25519PublicKey]) -> list[Replayed]:
    """Every verdict of a rollout, judged anew; with keys, its signature is checked. Raises ReplayError when evidence is missing."""
    plans = [plan for _, plan in _of(name, records, PLANS, RolloutPlan)]
    evidence = recorded_evidence(name, records)
    found = []
    for record, verdict in _of(name, records, VERDICTS, Verdict):
        one = _judge(verdict, plans, evidence)
        unsigned = signature_problem(record, keys) if keys else ""
        problem = "; ".join(text for text in (one.problem, unsigned) if text)
        found.append(msgspec.structs.replace(one, key=signer_of(record), problem=problem))
    return found


def _judge(recorded: Verdict, plans: Sequence[RolloutPlan], evidence: Sequence[Evidence]) -> Replayed:
    return Replayed(
        at=recorded.at,
        verdict=recorded.verdict.value,
        log10_e=recorded.log10_e,
        evidence=recorded.offsets.get("evidence", 0),
        problem=_problem(recorded, plans, evidence),
    )


def _problem(recorded: Verdict, plans: Sequence[RolloutPlan], evidence: Sequence[Evidence]) -> str:
    plan = next((plan for plan in plans if policy_hash(plan) == recorded.policy_hash), None)
    if plan is None:
        return "the plan with its policy is no longer in the log"
    try:
        found = differences(recorded, reproduce(plan, evidence, recorded))
    except ReplayError as error:
        return str(error)
    return "; ".join(f"{field}: recorded {was!r}, reproduced {now!r}" for field, (was, now) in found.items())


def _of(name: str, records: Sequence[Record], topic: str, kind: type[T]) -> list[tuple[Record, T]]:
    ours = [record for record in records if record.topic == topic and record.key == name.encode()]
    events = [(record, read_event(record, kind)) for record in ours]
    return [(record, event) for record, event in events if event is not None]


def _line(one: Replayed) -> str:
    numbers = f"{rfc3339(one.at)}  {one.verdict:<12} log10 e {one.log10_e:8.3f}  {one.evidence:>6} rows"
    return f"{numbers}  {one.problem or 'reproduced'}"
