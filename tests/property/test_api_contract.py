"""The API keeps to its own description, whatever it is asked: requests made from the description by schemathesis, seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from dashboards.api.app import document
from ingest.runtime.secrets import generate_private_key
from tests.api_centre import Centre
from tests.api_filled import NORTH, SOUTH, fill
from tests.api_thread import PATIENCE_S, api_thread
from tests.examples import TIMES, examples

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 20261126,
        "generation": {"max-examples": examples(5), "database": "none", "with-security-parameters": False},
        "phases": {
            "coverage": {"enabled": TIMES > 1},
            # What is asked hangs on the seed alone, not on what was answered before.
            "fuzzing": {"extra-data-sources": {"responses": False}, "error-feedback": {"enabled": False}},
        },
    }
)
DESCRIBED = schemathesis.openapi.from_dict(msgspec.json.decode(document()), config=CONFIG)
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.allow_header_conformance,
    checks.unsupported_method,
]
STREAM = "/v1/events"
"""Has no end; its own tests read it."""
FOREIGN = ("/judge", "/canary/{config}")
"""Kayenta writes null for whatever is not set: what breaks the description there is taken all the same."""

KNOWN = {
    "fingerprint": "f1",
    "site": "north",
    "device": "pump-1",
    "rollout": "fw-2.3.0",
    "config": "fw-2.3.0",
    "execution": "fw-2.3.0~95~75",
}
NAMES = {"/v1/rollouts/": "fw-2.3.0", "/v1/incidents/": "inc-1", "/v1/silences/": "s-1", "/v1/maintenance/": "w-1"}
"""What the `name` in a path of these stands for."""


class Asked(NamedTuple):
    url: str
    headers: dict[str, str]
    session: requests.Session


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("api")
    generate_private_key(folder / "api.pem")
    options = {"tokens_file": str(folder / "tokens.json"), "signing_key_file": str(folder / "api.pem")}

    def build() -> Centre:
        return Centre(folder, [NORTH, SOUTH], requests_per_s=1e6, requests_at_once=1_000_000, **options)

    with api_thread(build, fill) as reachable, requests.Session() as session:
        session.trust_env = False
        yield Asked(reachable.url, {"Authorization": f"Bearer {reachable.tokens['acme']}"}, session)


@DESCRIBED.exclude(path=STREAM).parametrize()
def test_every_answer_is_as_described_and_none_is_an_error_of_the_server(case: schemathesis.Case, asked: Asked) -> None:
    if case.path == "/v1/gates/{rollout}":
        case.query.pop("wait", None)  # it waits as long as it is asked to
    wanted = CHECKS if case.path in FOREIGN else [*CHECKS, checks.negative_data_rejection]
    ask(case, asked, wanted)
    # The same of something that is there.
    known = KNOWN | {"name": next((NAMES[part] for part in NAMES if case.path.startswith(part)), "")}
    named = {name: known[name] for name in case.path_parameters if known.get(name)}
    if named:
        again = case.operation.Case(
            path_parameters=case.path_parameters | named, query=case.query, body=case.body, media_type=case.media_type
        )
        ask(again, asked, CHECKS)


def ask(case: schemathesis.Case, asked: Asked, wanted: list[Any]) -> None:
    case.call_and_validate(asked.url, asked.session, asked.headers, checks=wanted, timeout=PATIENCE_S)
