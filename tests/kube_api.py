"""A Kubernetes API server without nodes or controllers: etcd and kube-apiserver on loopback, with the real CRDs.

Its authority, keys and tokens are its own and live in one folder. Requests are refused as in any cluster: 401, 403, 404, 409, 422.
"""

from __future__ import annotations

import os
import secrets
import signal
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from compose.stack.peers import CLUSTER
from compose.stack.ports import LOOPBACK, free_port
from compose.stack.process import OwnedProcess, end, find, launch
from compose.stack.stack import obtain_programs
from compose.stack.steps import tail
from tests.mqtt_tls import certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLY = "application/apply-patch+yaml"
POLL_S = 0.05
TRIES = 4800  # four minutes: a machine may be crowded
STARTS = 3  # a free port may be taken by another before we listen there


class KubeApi:
    """Started by `start`; `client` may do everything, `token` makes a token of a ServiceAccount."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = certificates(folder)
        self._running: list[OwnedProcess] = []
        self._kinds: dict[tuple[str, str], dict[str, Any]] = {}
        self._admin = secrets.token_urlsafe(24)
        self.url = ""
        self.published = folder
        """Once started: the definitions and descriptions as their projects publish them."""
        self.client = httpx.Client()

    @property
    def ca_file(self) -> str:
        """The authority that signed the server's certificate (PEM)."""
        return self._files.ca

    def start(self) -> None:
        """Ready, and every CRD established."""
        programs = obtain_programs(CLUSTER, lambda _: None)
        paths = {name: program.path for name, program in programs.items() if program is not None}
        self.published = paths["crds"]
        tokens = self._folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f"{self._admin},admin,1,system:masters\n")
        for attempt in range(STARTS):
            if self._launched(paths, attempt):
                break
        else:
            raise AssertionError(f"kube-apiserver did not start:\n{tail(self._folder / 'kube-apiserver.log')}")
        for file in sorted(paths["crds"].glob("*.yaml")):
            for document in documents(file.read_text()):
                answer = self.apply(document)
                assert answer.is_success, f"{file.name}: {answer.text}"
        self._until_established()

    def stop(self) -> None:
        """Both processes are gone; their data is of no further use."""
        self.client.close()
        for process in reversed(self._running):
            end(process, signal.SIGKILL)
        self._running.clear()

    def apply(self, document: str | dict[str, Any], *, dry_run: bool = False, namespace: str = "") -> httpx.Response:
        """Server-side apply under strict validation; the answer, whatever it is. `namespace` where the document names none."""
        found = yaml.load(document, yaml.CSafeLoader) if isinstance(document, str) else document
        path = self.path_of(found, namespace)
        query = {"fieldManager": "tests", "fieldValidation": "Strict", "force": "true"}
        query |= {"dryRun": "All"} if dry_run else {}
        return self.client.patch(path, params=query, content=yaml.safe_dump(found), headers={"Content-Type": APPLY})

    def path_of(self, document: dict[str, Any], namespace: str = "") -> str:
        """Where an object is, by the server's own discovery."""
        version, kind, metadata = document["apiVersion"], document["kind"], document["metadata"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        resource = self._resource(base, kind)
        if not resource["namespaced"]:
            return f"{base}/{resource['name']}/{metadata['name']}"
        namespace = metadata.get("namespace") or namespace
        return f"{base}/namespaces/{namespace}/{resource['name']}/{metadata['name']}"

    def made(self, document: dict[str, Any]) -> Any:
        """Creates it; its status, where it has one, is set, too."""
        path = self.path_of(document).rpartition("/")[0]
        answer = self.client.post(path, json=document)
        assert answer.status_code == 201, answer.text
        found = answer.json()
        if "status" not in document:
            return found
        found["status"] = document["status"]
        answer = self.client.put(f"{path}/{document['metadata']['name']}/status", json=found)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        """One object."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def token(self, namespace: str, account: str) -> str:
        """As `kubectl create token` gets it."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = self.client.post(
            path, json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["status"]["token"])

    def until_allowed(self, account: str, verb: str, path: str, *, allowed: bool = True) -> None:
        """Waits until the authorizer has read a change of roles: it hears of it a moment later."""
        parts = path.removeprefix("/apis/").split("/")
        group, _, _, namespace, resource, *rest = parts
        asked: dict[str, Any] = {"group": group, "namespace": namespace, "resource": resource, "verb": verb}
        asked |= {"name": rest[0]} if rest else {}
        asked |= {"subresource": rest[1]} if rest[1:] else {}
        user = f"system:serviceaccount:{namespace}:{account}"
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        review_path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        for _ in _polls():
            spec = {"user": user, "resourceAttributes": asked}
            answer = self.client.post(review_path, json=review | {"spec": spec})
            if answer.json()["status"]["allowed"] is allowed:
                return
        raise AssertionError(f"{user} is {'not ' if allowed else ''}allowed to {verb} {path}")

    def _launched(self, paths: dict[str, Path], attempt: int) -> bool:
        """Whether it got ready; False when a process has ended meanwhile."""
        self.stop()
        etcd, peers, port = free_port(), free_port(), free_port()
        self.url = f"https://{LOOPBACK}:{port}"
        self._launch(paths["etcd"], self._etcd(etcd, peers, attempt))
        self._launch(paths["kube-apiserver"], self._apiserver(etcd, port))
        headers = {"Authorization": f"Bearer {self._admin}"}
        self.client = httpx.Client(
            base_url=self.url,
            headers=headers,
            verify=ssl.create_default_context(cafile=self.ca_file),
            timeout=60.0,
            trust_env=False,
        )
        for _ in _polls():
            if not all(find(process) for process in self._running):
                return False
            if self._ready():
                return True
        return False

    def _launch(self, program: Path, options: list[str]) -> None:
        log = self._folder / f"{program.name}.log"
        self._running.append(launch([str(program), *options], home=self._folder, log=log, env=os.environ))

    def _etcd(self, port: int, peers: int, attempt: int) -> list[str]:
        clients, between = f"http://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{peers}"
        return [
            f"--data-dir={self._folder / f'etcd-{attempt}'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={between}",
            f"--initial-advertise-peer-urls={between}",
            f"--initial-cluster=default={between}",
            "--unsafe-no-fsync",
        ]

    def _apiserver(self, etcd: int, port: int) -> list[str]:
        return [
            f"--etcd-servers=http://{LOOPBACK}:{etcd}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            f"--secure-port={port}",
            f"--tls-cert-file={self._files.server_cert}",
            f"--tls-private-key-file={self._files.server_key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self._files.server_key}",
            f"--service-account-key-file={self._files.server_cert}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
        ]

    def _ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _until_established(self) -> None:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for _ in _polls():
            found = self.get(path)["items"]
            conditions = [c for one in found for c in one.get("status", {}).get("conditions") or ()]
            established = [c for c in conditions if (c["type"], c["status"]) == ("Established", "True")]
            if found and len(established) == len(found):
                return
        raise AssertionError("the CRDs were not established")

    def _resource(self, base: str, kind: str) -> dict[str, Any]:
        # Discovery lists a new CRD's kind a moment after it is established.
        for _ in _polls():
            if (base, kind) in self._kinds:
                return self._kinds[base, kind]
            answer = self.client.get(base)
            if answer.status_code == 200:
                own = [one for one in answer.json()["resources"] if "/" not in one["name"]]
                self._kinds |= {(base, one["kind"]): one for one in own}
        raise AssertionError(f"{base} knows no {kind}")


def documents(text: str) -> list[str]:
    """The YAML documents of a file that hold something."""
    parts = text.replace("\r\n", "\n").split("\n---\n")
    return [part for part in parts if any(line and not line.startswith(("#", "---")) for line in part.splitlines())]


def _polls() -> Iterator[int]:
    for number in range(TRIES):
        yield number
        time.sleep(POLL_S)
