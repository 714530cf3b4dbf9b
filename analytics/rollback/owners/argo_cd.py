"""An Argo CD application goes back to the newest deployed revision that is not the bad one.

Source: argoproj/argo-cd, server/application/application.go: a rollback is refused while auto-sync is on, so that is turned off first.
Needs `applications, get`, `update` and `sync` in Argo CD's RBAC. Git still holds the bad revision: turn auto-sync on again when it
does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from analytics.rollback.owners.owner import BAD_REQUEST, OK, PassingError, RefusedError, Request, ask, field

if TYPE_CHECKING:
    from collections.abc import Generator

    from analytics.rollback.owners.owner import Answer, Order


class ArgoCd:
    """`object`: name and bad_revision (the git revision of the bad release); `namespace` and `project` where there are several."""

    needs = ("name", "bad_revision")

    def go_back(self, order: Order) -> Generator[Request, Answer, None]:
        """Auto-sync off, then back, unless the application runs another revision already."""
        path = f"/api/v1/applications/{quote(order.object['name'], safe='')}"
        where = {out: order.object[ours] for out, ours in _WHERE.items() if order.object.get(ours)}
        query = "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in where.items()) if where else ""
        application = (yield from ask(Request(method="GET", path=path + query))).body
        # One that was asked for stands in `operation` until the controller takes it up.
        if field(application, "operation") or field(application, "status", "operationState", "phase") == "Running":
            raise PassingError(f"{path}: an operation is under way")
        automated = field(application, "spec", "syncPolicy", "automated") is not None
        history = field(application, "status", "history", default=[])
        if automated:
            patch = msgspec.json.encode({"spec": {"syncPolicy": {"automated": None}}}).decode()
            body = {"name": order.object["name"], "patch": patch, "patchType": "merge"} | where
            yield from ask(Request(method="PATCH", path=path, body=body))
        if field(history, -1, "revision") == order.object["bad_revision"]:
            back = {"id": _target(history, order.object["bad_revision"]), "dryRun": False, "prune": True}
            answer = yield from ask(Request(method="POST", path=f"{path}/rollback", body=back | where), OK, BAD_REQUEST)
            _expect_begun(answer, path)


def _expect_begun(answer: Answer, path: str) -> None:
    # Somebody else's operation that began in between has the same status as what is wrong for good.
    if answer.status == OK:
        return
    told = str(field(answer.body, "message", default=""))
    error = PassingError if "operation is already in progress" in told else RefusedError
    raise error(f"POST {path}/rollback was answered {answer.status}: {told[:300]}")


_WHERE = {"appNamespace": "namespace", "project": "project"}


def _target(history: list[Any], bad: str) -> int:
    good = [entry for entry in history if field(entry, "revision") != bad]
    if not good:
        raise RefusedError(f"no revision but {bad} was ever deployed: nothing to go back to")
    return int(good[-1]["id"])
