"""A Hugging Face Hub on this machine: the endpoints that huggingface_hub and datasets ask, answered from folders.

    GET  /api/{models,datasets}/<id>[/revision/<revision>]            what the repository is
    GET  /api/{models,datasets}/<id>/auth-check                       whether its files may be read
    GET  /api/{models,datasets}/<id>/tree/<revision>[/<folder>]       its files
    POST /api/{models,datasets}/<id>/paths-info/<revision>            some of its files
    GET, HEAD /[datasets/]<id>/resolve/<revision>/<file>              one file; ranges are honoured

Every request is recorded. Faults (repository.py) are switched on per repository and file.
"""

import json
import re
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.repository import Fault, Repository

API = re.compile(
    r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info|auth-check)(?:/([^/]+)(?:/(.*))?)?)?"
)
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
KIB = 1024


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    range: str
    """The Range header, empty for a whole file."""


class Hub:
    """The server and its repositories. It runs until `close`."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[Request] = []
        self._server = _Server(("127.0.0.1", 0), _Answers)
        self._server.hub = self
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, repo_id: str, folder: str | Path, *, kind: str = "model", token: str = "") -> Repository:
        """Serve `folder` as a repository ("model" or "dataset"); with a `token` its files are gated."""
        repository = Repository(repo_id, Path(folder), kind, token)
        self.repositories[kind, repo_id] = repository
        return repository

    def downloads(self) -> list[str]:
        """Files whose content was asked for, in order."""
        asked = (FILE.fullmatch(request.path) for request in self.requests if request.method == "GET")
        return [found[4] for found in asked if found]

    def bytes_sent(self, name: str) -> int:
        """Bytes of one file's content that went out."""
        return self._server.sent.get(name, 0)

    def reset(self) -> None:
        """Forget repositories and requests."""
        self.repositories.clear()
        self.requests.clear()
        self._server.sent.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: Hub

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.sent: dict[str, int] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are part of the tests."""


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._posted = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.server.hub.requests.append(Request(self.command, path, self.headers.get("Range", "")))
        if found := API.fullmatch(path):
            kind, repo_id, what, revision, rest = found.groups()
            self._api(self._repository(kind[:-1], repo_id), what, revision, rest or "", parse_qs(url.query))
        elif found := FILE.fullmatch(path):
            kind, repo_id, revision, name = found.groups()
            self._file(self._repository("dataset" if kind else "model", repo_id), revision, name)
        else:
            self._refuse(404, "EntryNotFound")

    def _repository(self, kind: str, repo_id: str) -> Repository | None:
        return self.server.hub.repositories.get((kind, repo_id))

    def _is_refused(self, repository: Repository | None, revision: str | None) -> bool:
        """Answer for a repository or revision that does not exist."""
        if repository is None:
            self._refuse(404 if self.headers.get("Authorization") else 401, "RepoNotFound")
        elif revision not in (None, "main", repository.commit):
            self._refuse(404, "RevisionNotFound")
        else:
            return False
        return True

    def _is_gated(self, repository: Repository) -> bool:
        """Answer for files that the caller may not read."""
        given = self.headers.get("Authorization")
        if not repository.token or given == f"Bearer {repository.token}":
            return False
        self._refuse(403 if given else 401, "GatedRepo")
        return True

    def _api(self, repository: Repository | None, what: str, revision: str, rest: str, query: dict[str, Any]) -> None:
        if self._is_refused(repository, revision):
            return
        fault = repository.fault("")
        if fault and fault.status:
            self._refuse(fault.status, fault.code)
        elif what == "auth-check" and self._is_gated(repository):
            return
        elif what == "tree":
            entries = repository.tree(rest, query.get("recursive", ["false"])[0].lower() == "true")
            self._refuse(404, "EntryNotFound") if entries is None else self._json(entries)
        elif what == "paths-info":
            wanted = self._paths_posted()
            self._json([repository.entry(name) for name in wanted if (repository.folder / name).exists()])
        else:
            self._json(repository.about())

    def _paths_posted(self) -> list[str]:
        text = self._posted.decode()
        paths = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        return [paths] if isinstance(paths, str) else paths

    def _file(self, repository: Repository | None, revision: str, name: str) -> None:
        if self._is_refused(repository, revision):
            return
        if self._is_gated(repository):
            return
        if not (repository.folder / name).is_file():
            self._refuse(404, "EntryNotFound", {"X-Repo-Commit": repository.commit})
            return
        # A cut or wrong body concerns those who ask for it; a status concerns everybody.
        fault = repository.fault(name)
        if fault and fault.status:
            self._refuse(fault.status, fault.code)
        else:
            if fault and self.command == "HEAD":
                fault.times += 1
            self._content(repository, name, fault)

    def _content(self, repository: Repository, name: str, fault: Fault | None) -> None:
        content = repository.content(name)
        body = fault.content if fault and fault.content is not None else content
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{repository.etag(name)}"', "Accept-Ranges": "bytes"}
        if repository.is_large(name):
            headers |= {"X-Linked-ETag": f'"{repository.etag(name)}"', "X-Linked-Size": str(len(content))}
        status = 200
        if repository.takes_ranges and (asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            start, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
            if start >= len(content):
                self._refuse(416, "", {"Content-Range": f"bytes */{len(content)}"})
                return
            status, headers["Content-Range"] = 206, f"bytes {start}-{last}/{len(content)}"
            body = body[start : last + 1]
        self._send(status, headers, body, name, fault)

    def _json(self, value: Any) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        named = {"X-Error-Code": code, "X-Error-Message": code} if code else {}
        self._send(status, {"Content-Type": "application/json", **named, **(headers or {})}, b'{"error": "refused"}')

    def _send(
        self, status: int, headers: dict[str, str], body: bytes, name: str = "", fault: Fault | None = None
    ) -> None:
        self.send_response(status)
        for header, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        is_cut = fault is not None and fault.cut_after is not None and len(body) > fault.cut_after
        body = body[: fault.cut_after] if is_cut else body
        pause = fault.seconds_per_kib if fault else 0
        for start in range(0, len(body), KIB if pause else max(len(body), 1)):
            chunk = body[start : start + (KIB if pause else len(body))]
            self.wfile.write(chunk)
            self.server.sent[name] = self.server.sent.get(name, 0) + len(chunk)
            time.sleep(pause)
        if is_cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""
