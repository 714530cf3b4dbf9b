"""Who bears which token, and which configurations are refused."""

from __future__ import annotations

import base64

import pytest

from dashboards.api.auth import Tokens, digest_of, new_token
from dashboards.api.config import ApiConfig, ApiConfigError, Scope, TokenConfig, check_config


def configured(token: str, name: str = "ci", scopes: tuple[Scope, ...] = (Scope.GATES,)) -> TokenConfig:
    return TokenConfig(name=name, tenant="acme", sha256=digest_of(token), scopes=list(scopes))


def test_a_bearer_is_known_by_the_digest_alone() -> None:
    fresh = new_token()
    assert fresh.sha256 == digest_of(fresh.token)
    assert len(fresh.token) > 40
    assert new_token() != fresh
    principal = Tokens([configured("other", "x"), configured(fresh.token)]).principal(f"Bearer {fresh.token}")
    assert principal is not None
    assert (principal.name, principal.tenant, principal.scopes) == ("ci", "acme", frozenset({Scope.GATES}))


def test_basic_carries_the_token_as_password() -> None:
    encoded = base64.b64encode(b"flagger:to:ken").decode()
    assert Tokens([configured("to:ken")]).principal(f"Basic {encoded}") is not None


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "token", "Basic !!!", "Basic " + base64.b64encode(b"token").decode(),
     "Digest token", "Bearer " + digest_of("token"), "Basic " + base64.b64encode(b"\xff\xfe:x").decode()],
)  # fmt: skip
def test_everything_else_is_nobody(header: str | None) -> None:
    assert Tokens([configured("token")]).principal(header) is None
    assert Tokens([]).principal(header) is None


def test_beyond_loopback_needs_tls() -> None:
    check_config(ApiConfig())
    with pytest.raises(ApiConfigError, match=r"api\.host: 0\.0\.0\.0 is reachable .* set tls_certificate and tls_key"):
        check_config(ApiConfig(host="0.0.0.0"))  # noqa: S104 - what must be refused
    with pytest.raises(ApiConfigError, match="tls_key"):
        check_config(ApiConfig(host="10.1.2.3", tls_certificate="c.pem"))


def test_every_mistake_in_tokens_is_named_with_its_path() -> None:
    good = configured("a")
    bad = TokenConfig(name="ci", tenant="no/tenant", sha256="plain text token", scopes=[])
    with pytest.raises(ApiConfigError) as error:
        check_config(ApiConfig(port=70_000, tokens=[good, bad]))
    text = str(error.value)
    for expected in ("api.port", "tokens[1].name", "tokens[1].tenant", "tokens[1].sha256", "tokens[1].scopes"):
        assert expected in text
    assert "tokens[0]" not in text
    assert "plain text token" not in text, "what may be a secret is not repeated"
