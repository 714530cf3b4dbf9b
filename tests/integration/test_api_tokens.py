"""Tokens: made and revoked while the API runs, shown once, kept as digests, one tenant's own; what bad ones are told."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner

from compose.cli.main import tidegate
from dashboards.api.auth import new_token
from dashboards.api.config import Scope, TokenConfig
from ingest.runtime.clock import ManualClock
from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

READER, OLD = new_token(), new_token()
CLOCK_MS = 1_700_000_000_000


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    made = Centre(tmp_path, [NORTH, SOUTH], clock=ManualClock(CLOCK_MS), tokens_file=str(tmp_path / "tokens.json"))
    few = [
        TokenConfig(name="admin", tenant="acme", sha256=READER.sha256, scopes=[Scope.READ, Scope.TOKENS_WRITE]),
        TokenConfig(name="old", tenant="acme", sha256=OLD.sha256, scopes=[Scope.READ], expires=CLOCK_MS),
    ]
    made.config = msgspec.structs.replace(made.config, tokens=[*made.config.tokens, *few])
    made.api = made.build()
    async with running(made) as started:
        yield started


async def status(centre: Centre, token: str, path: str = "/v1/fleet") -> int:
    async with centre.client(token=token) as client:
        return (await client.get(path)).status_code


async def test_a_token_is_shown_once_kept_as_a_digest_and_revoked(centre: Centre, tmp_path: Path) -> None:
    async with centre.client() as client, centre.client("other") as other:
        asked = {"name": "wall", "scopes": ["read"], "expires_s": 60}
        answer = await client.post("/v1/tokens", json=asked, headers={"Idempotency-Key": "k"})
        again = await client.post("/v1/tokens", json=asked, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, again.status_code) == (201, 422), "nothing shows it a second time"
        made = answer.json()["data"]
        token = made.pop("token")
        assert made == {
            "name": "wall",
            "scopes": ["read"],
            "created": CLOCK_MS,
            "expires": CLOCK_MS + 60_000,
            "by": "acme-all",
        }
        kept = tmp_path / "tokens.json"
        assert token not in kept.read_text()
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert (await client.get("/v1/tokens")).json()["data"] == [made]
        assert (await other.get("/v1/tokens")).json()["data"] == []
        assert await status(centre, token) == 200
        assert await status(centre, token, "/v1/tokens") == 403
        assert (await other.delete("/v1/tokens/wall")).status_code == 404
        assert await status(centre, token) == 200
        assert (await client.delete("/v1/tokens/wall")).status_code == 204
        assert await status(centre, token) == 401
        assert (await client.delete("/v1/tokens/wall")).status_code == 404


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "acme-all"}, 422),
        ({"name": "no/name"}, 422),
        ({"scopes": []}, 422),
        ({"scopes": ["all"]}, 422),
        ({"expires_s": 0}, 422),
        ({"expires_s": 1e12}, 422),
        ({"tenant": "other"}, 422),
        ({"scopes": ["read", "rollouts:approve"]}, 403),
    ],
)
async def test_nobody_makes_a_bad_token_or_gives_what_they_lack(centre: Centre, change: dict[str, Any], expected: int) -> None:  # fmt: skip
    async with centre.client(token=READER.token) as client:
        answer = await client.post("/v1/tokens", json={"name": "x", "scopes": ["read"], **change})
    assert answer.status_code == expected, answer.text


async def test_bad_tokens_are_told_what_is_wrong_with_them(centre: Centre) -> None:
    assert isinstance(centre.clock, ManualClock)
    async with centre.client(None) as client:
        told = {}
        for header in (
            None,
            "Bearer",
            "Digest x",
            "Basic !",
            "Bearer tg_unknown",
            f"Bearer {OLD.token}",
            "Bearer \xff",
        ):
            headers = {"Authorization": header.encode("latin-1")} if header else {}
            answer = await client.get("/v1/fleet", headers=headers)
            assert answer.status_code == 401
            told[header] = answer.json()["type"].rpartition(":")[2]
            assert ("invalid_token" in answer.headers["www-authenticate"]) == bool(header)
            assert OLD.token not in answer.text
    assert list(told.values()) == [
        "token-needed", "token-malformed", "token-malformed", "token-malformed", "token-unknown", "token-expired",
        "token-unknown",
    ]  # fmt: skip


async def test_a_token_expires_by_the_clock_and_a_damaged_file_opens_nothing(centre: Centre, tmp_path: Path, caplog: Any) -> None:  # fmt: skip
    assert isinstance(centre.clock, ManualClock)
    async with centre.client() as client:
        asked = {"name": "short", "scopes": ["read"], "expires_s": 60}
        token = (await client.post("/v1/tokens", json=asked)).json()["data"]["token"]
        asked = {"name": "long", "scopes": ["read"], "expires_s": 600}
        longer = (await client.post("/v1/tokens", json=asked)).json()["data"]["token"]
    centre.clock.advance(59.0)
    assert await status(centre, token) == 200
    centre.clock.advance(1.0)
    assert await status(centre, token) == 401
    assert await status(centre, longer) == 200
    (tmp_path / "tokens.json").write_text("[{")
    assert await status(centre, longer) == 401
    assert await status(centre, centre.tokens["acme"].token) == 200, "the others still open"
    assert "not a file of tokens" in caplog.text


async def test_the_command_line_makes_and_revokes_them_for_a_running_api(centre: Centre, tmp_path: Path) -> None:
    config = tmp_path / "api.toml"
    config.write_text(
        f'[api]\ntokens_file = "{tmp_path}/tokens.json"\n[log]\nkind = "sqlite"\npath = "{tmp_path}/log.db"\n'
        f'[store]\nkind = "sqlite"\npath = "{tmp_path}/store.db"\n[[gateways]]\ngateway = "g"\ntenant = "acme"\nsite = "s"\n'
        f'public_key = "{NORTH.config().public_key}"\n'
    )

    def run(*words: str) -> str:
        result = CliRunner().invoke(tidegate, ["token", *words])
        assert result.exit_code == 0, result.output
        return result.output.strip()

    # Made and expiring by the machine's clock, which is ahead of the API's here.
    token = run("create", str(config), "ops", "--tenant", "acme", "--scope", "read")
    assert await status(centre, token) == 200
    listed = msgspec.json.decode(run("list", str(config), "--json"))
    assert (listed["name"], listed["tenant"], listed["scopes"]) == ("ops", "acme", ["read"])
    assert token not in run("list", str(config))
    run("create", str(config), "ci", "--tenant", "other", "--scope", "gates", "--out", str(tmp_path / "ci"))
    assert await status(centre, (tmp_path / "ci").read_text(), "/v1/gates/x") == 404
    wrong = CliRunner().invoke(tidegate, ["token", "revoke", str(config), "ops", "--tenant", "other"])
    assert (wrong.exit_code, "has no token 'ops'" in wrong.output) == (1, True)
    run("revoke", str(config), "ops", "--tenant", "acme")
    assert await status(centre, token) == 401
