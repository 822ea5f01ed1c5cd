"""A Hugging Face Hub of one model on this machine: what huggingface_hub asks over HTTP, answered from a folder."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO_ID = "tiny/llama"


class Hub:
    """What the server knows: the files of REPO_ID, and other repositories with the status and code of their refusal."""

    def __init__(self, folder: Path, refuse: dict[str, tuple[int, str]]) -> None:
        self.files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self.refuse = refuse
        self.downloads: list[str] = []

    def answer(self, path: str, is_download: bool) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for one address."""
        for repo_id, (status, code) in self.refuse.items():
            if repo_id in path:
                return status, {"X-Error-Code": code, "X-Error-Message": code}, b"{}"
        if path.startswith(f"api/models/{REPO_ID}/tree/"):
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": etag(content)}
                for name, content in self.files.items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(entries).encode()
        if path.startswith(f"api/models/{REPO_ID}"):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in self.files.items()]
            known = {"id": REPO_ID, "sha": COMMIT, "siblings": siblings, "cardData": {"license": "apache-2.0"}}
            return 200, {"Content-Type": "application/json"}, json.dumps(known).encode()
        name = path.rsplit("/", 1)[-1]
        if not path.startswith(f"{REPO_ID}/resolve/") or name not in self.files:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if is_download:
            self.downloads.append(name)
        return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag(self.files[name])}"'}, self.files[name]


class Answers(BaseHTTPRequestHandler):
    """HTTP around the server's `hub`."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path).lstrip("/")
        status, headers, body = self.server.hub.answer(path, self.command == "GET")
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        """Nothing is printed."""


@contextmanager
def hub_serve(folder: Path, *, refuse: dict[str, tuple[int, str]] | None = None) -> Iterator[tuple[str, list[str]]]:
    """Serve `folder` as REPO_ID; yields the address and the growing list of files that were downloaded.

    `refuse` maps other repository ids to a status and the Hub's X-Error-Code.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.hub = Hub(folder, refuse or {})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.hub.downloads
    finally:
        server.shutdown()
        server.server_close()


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
