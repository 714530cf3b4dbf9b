"""Evidence that others have recorded: a plan and files of JSON lines, judged by the gate that serves production.

The format is documented in `docs/gate.md`, "Bring your own evidence".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.rollouts.columns import Code
from analytics.rollouts.eprocess.sample_ratio import is_suspicious
from analytics.rollouts.gate import FAILED, PASSED, new_gate
from analytics.rollouts.policy import sound_guards
from analytics.rollouts.roster import times_and_codes
from analytics.rollouts.verdict import CAP, guard_verdict, significant
from ingest.contract.events import Arm, EvidenceKind, Guard, GuardVerdict, Outcome, RolloutPlan

if TYPE_CHECKING:
    from analytics.rollouts.columns import EvidenceColumns
    from analytics.rollouts.gate import Gate, Walk

MOST_ALPHA = 0.5


class BadRecordingError(ValueError):
    """A plan or evidence that cannot be judged; the text says where and what was expected."""


class JudgePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What of a plan decides: any rollout's plan is one."""

    guards: list[Guard]
    alpha: float = 0.05
    canary_share: float | None = None


class RecordedRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of recorded evidence: the fields of `Evidence` that decide."""

    kind: EvidenceKind
    device: str
    at: int
    site: str = ""
    stratum: str = ""
    wave: str = ""
    arm: Arm = Arm.CONTROL
    metric: str = ""
    value: float = 0.0
    before: float | None = None


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording leads to.

    `first_fail` and `first_pass` are event times in ms (with looks: those of the looks that saw it), None for never;
    the `_hours` count from the first enrolment. `verdict` is the last answer, `rows` how many were read, `taken` how many were
    taken before the gate failed, `unknown` how many concerned no enrolled device, `observational` that the
    arms are not in the plan's `canary_share`, where it names one.
    """

    verdict: Outcome
    first_fail: int | None
    first_pass: int | None
    fail_hours: float | None
    pass_hours: float | None
    guilty: str
    e_value: float
    log10_e: float
    alpha: float
    n_canary: int
    n_control: int
    guards: list[GuardVerdict]
    rows: int
    taken: int
    unknown: int
    observational: bool = False


class Looks(NamedTuple):
    """When a walk's answers were first seen: the time (ms) of the look that first saw fail, and pass; None for never."""

    fail: int | None
    passed: int | None


_ROWS = msgspec.json.Decoder(RecordedRow)
_KNOWN_FIELDS = {*RolloutPlan.__struct_fields__, *JudgePlan.__struct_fields__}


def read_judge_plan(text: bytes) -> JudgePlan:
    """A plan from JSON; a whole rollout plan, or only `guards` and `alpha`. Raises BadRecordingError."""
    try:
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        plan = msgspec.json.decode(text, type=JudgePlan)
    except msgspec.DecodeError as error:
        raise BadRecordingError(str(error)) from error
    strange = sorted(fields.keys() - _KNOWN_FIELDS)
    if strange:
        raise BadRecordingError(f"unknown field `{strange[0]}`, expected one of {', '.join(sorted(_KNOWN_FIELDS))}")
    if not sound_guards(plan.guards) or not 0.0 < plan.alpha <= MOST_ALPHA:
        raise BadRecordingError(
            "expected guards of different names with weights above 0 and margins, and alpha in (0, 0.5]"
        )
    return plan


def read_rows(lines: bytes) -> list[RecordedRow]:
    """Rows of JSON lines, in order of time and, at one instant, of kind. Raises BadRecordingError with the line's number."""
    try:
        rows = _ROWS.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError):
        rows = [_row(number, line) for number, line in enumerate(lines.splitlines(), 1) if line.strip()]
    at, code = times_and_codes(rows)
    order = np.lexsort((code, at))
    return rows if (np.diff(order) > 0).all() else [rows[place] for place in order.tolist()]


def judge(plan: JudgePlan, rows: list[RecordedRow], *, every_ms: int = 0) -> Judgement:
    """The verdict on recorded rows (sorted as by `read_rows`); `every_ms` above 0: as seen by looks that far apart."""
    gate = new_gate(plan.guards, plan.alpha)
    found = judge_columns(gate, gate.roster.columns(rows), every_ms=every_ms)
    suspicious = plan.canary_share is not None and is_suspicious(found.n_canary, found.n_control, plan.canary_share)
    return msgspec.structs.replace(found, observational=suspicious)


def judge_columns(gate: Gate, rows: EvidenceColumns, *, every_ms: int = 0) -> Judgement:
    """The same for columns and a gate that has seen nothing."""
    walk = gate.walk(rows) if len(rows.at) else None
    seen = looks(walk, gate.started, every_ms) if walk else Looks(None, None)
    canaries, controls = gate.cohort.enrolled
    log10_e = gate.e_value_log10()
    return Judgement(
        verdict=gate.outcome,
        first_fail=seen.fail,
        first_pass=seen.passed,
        fail_hours=_hours(seen.fail, gate.started),
        pass_hours=_hours(seen.passed, gate.started),
        guilty=gate.guilty,
        e_value=significant(10.0 ** min(log10_e, CAP)),
        log10_e=log10_e,
        alpha=gate.alpha,
        n_canary=canaries,
        n_control=controls,
        guards=[guard_verdict(bets) for bets in gate.bets],
        rows=len(rows.at),
        taken=gate.rows,
        unknown=int(((rows.device < 0) & (rows.code != Code.LATE)).sum()),
    )


def looks(walk: Walk, started: int, every_ms: int) -> Looks:
    """When looks at `started` + n · `every_ms` first saw fail and pass; every instant is a look when `every_ms` is 0."""
    look = walk.at if every_ms <= 0 else started - (started - walk.at) // every_ms * every_ms
    # An answer is seen when it still stands at the first look after it was given.
    stands = np.append(look[1:] != look[:-1], True)
    failed, passed = (np.flatnonzero((walk.codes[1:] == code) & stands) for code in (FAILED, PASSED))
    return Looks(*(int(look[places[0]]) if places.size else None for places in (failed, passed)))


def _hours(at: int | None, started: int) -> float | None:
    return None if at is None else round((at - started) / 3_600_000, 6)


def _row(number: int, line: bytes) -> RecordedRow:
    try:
        return _ROWS.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecordingError(f"line {number}: {error}") from error


def answer_of(judgement: Judgement) -> str:
    """One line for people."""
    when = {
        Outcome.FAIL: f" at {judgement.fail_hours} h: {judgement.guilty}",
        Outcome.PASS: f" at {judgement.pass_hours} h",
        Outcome.INCONCLUSIVE: "",
    }[judgement.verdict]
    counts = f"{judgement.n_canary} canaries, {judgement.n_control} controls"
    return f"{judgement.verdict.value}{when}, log10 e {judgement.log10_e:.3f}, {counts}, {judgement.taken} of {judgement.rows} rows"
