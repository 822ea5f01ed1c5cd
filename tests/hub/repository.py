"""One repository of the loopback Hub: a folder, what is said about its files, and the faults that are switched on."""

import hashlib
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

LARGE_SUFFIXES = (".parquet", ".safetensors", ".bin", ".gguf")
"""Files that the Hub keeps in LFS: their ETag is the SHA-256 of their content."""


@dataclass
class Fault:
    """What goes wrong for files that match `pattern`; API answers about the repository have the name ""."""

    pattern: str
    times: float
    """How many requests it still concerns."""
    status: int = 0
    code: str = ""
    cut_after: int | None = None
    """Bytes of the body after which the connection ends."""
    content: bytes | None = None
    """Sent in place of the file; sizes and checksums stay those of the file."""
    seconds_per_kib: float = 0.0


@dataclass
class Repository:
    """The files of `folder` as `repo_id`. Its README.md is its card."""

    repo_id: str
    folder: Path
    kind: str = "model"
    """"model" or "dataset"."""
    token: str = ""
    """Files are gated unless this token comes along; empty: open to all."""
    faults: list[Fault] = field(default_factory=list)
    takes_ranges: bool = True
    """False: whole files are sent, whatever part was asked for, as some proxies do."""

    @property
    def commit(self) -> str:
        """Forty hex digits that change with the files."""
        digest = hashlib.sha1(self.repo_id.encode())
        for name in self.files():
            digest.update(name.encode() + self.content(name))
        return digest.hexdigest()

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def content(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def fail(self, pattern: str = "*", *, status: int, code: str = "", times: float = float("inf")) -> None:
        """Answer `status`, the first `times` times. "" is the pattern of API answers, "*" that of everything."""
        self.faults.append(Fault(pattern, times, status=status, code=code))

    def cut(self, pattern: str, *, after: int, times: float = 1) -> None:
        """End the connection after so many bytes of the body."""
        self.faults.append(Fault(pattern, times, cut_after=after))

    def corrupt(self, name: str, *, times: float = float("inf")) -> None:
        """Send other bytes than the checksum speaks of, as many."""
        content = self.content(name)
        middle = len(content) // 2
        wrong = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        self.faults.append(Fault(name, times, content=wrong))

    def slow(self, pattern: str, *, seconds_per_kib: float) -> None:
        """Send bodies bit by bit."""
        self.faults.append(Fault(pattern, float("inf"), seconds_per_kib=seconds_per_kib))

    def fault(self, name: str) -> Fault | None:
        """The fault that concerns this request, which uses up one of its times."""
        for fault in self.faults:
            if fault.times > 0 and fnmatch(name, fault.pattern):
                fault.times -= 1
                return fault
        return None

    def about(self) -> dict[str, Any]:
        """What model_info and dataset_info read."""
        return {
            "_id": self.commit[:24],
            "id": self.repo_id,
            "sha": self.commit,
            "private": False,
            "disabled": False,
            "gated": "manual" if self.token else False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "cardData": self._card(),
            "siblings": [{"rfilename": name, **self._blob(name)} for name in self.files()],
        }

    def tree(self, folder: str, is_recursive: bool) -> list[dict[str, Any]] | None:
        """Entries below a folder, None where there is no such folder."""
        start = self.folder / folder
        if not start.is_dir():
            return None
        paths = start.rglob("*") if is_recursive else start.glob("*")
        return [self.entry(str(path.relative_to(self.folder))) for path in sorted(paths)]

    def entry(self, name: str) -> dict[str, Any]:
        """One row of a tree."""
        if (self.folder / name).is_dir():
            return {"type": "directory", "path": name, "oid": self.commit, "size": 0}
        blob = self._blob(name)
        lfs = {"lfs": {**blob["lfs"], "oid": blob["lfs"]["sha256"]}} if "lfs" in blob else {}
        return {"type": "file", "path": name, "size": blob["size"], "oid": blob["blobId"], **lfs}

    def etag(self, name: str) -> str:
        blob = self._blob(name)
        return blob["lfs"]["sha256"] if "lfs" in blob else blob["blobId"]

    def is_large(self, name: str) -> bool:
        return name.endswith(LARGE_SUFFIXES)

    def _blob(self, name: str) -> dict[str, Any]:
        content = self.content(name)
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        blob: dict[str, Any] = {"size": len(content), "blobId": oid}
        if self.is_large(name):
            blob["lfs"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 130}
        return blob

    def _card(self) -> dict[str, Any]:
        """The YAML at the head of README.md."""
        readme = self.folder / "README.md"
        parts = readme.read_text().split("---\n", 2) if readme.exists() else []
        return yaml.safe_load(parts[1]) if len(parts) == 3 else {}
