"""The provenance record: what a reader needs to make an artifact again, or to explain why it came out differently."""

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from workers.engine.monitor import limits
from workers.engine.specs.base import Spec

PROVENANCE = "provenance.json"
"""The record's name in every artifact folder."""
PACKAGES = ("mistudio", "torch", "transformers", "safetensors", "numpy", "numba")
HASH_BLOCK = 2**20


def provenance_record(spec: Spec, *, device: str, inputs: dict[str, Any] | None, **effective: Any) -> dict[str, Any]:
    """The record of one job as JSON values.

    `inputs` is what the rows know of the data: names and hashes. `effective` are values that the Spec leaves open and
    the run decided: dtype, factors, hashes of what was written.
    """
    return {
        "kind": spec.KIND,
        "spec": spec.to_json(),
        "inputs": inputs or {},
        "effective": effective,
        "device": device,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {package: package_version(package) for package in PACKAGES},
    }


def provenance_write(folder: str | Path, record: dict[str, Any]) -> None:
    """Put the record into an artifact's folder."""
    text = json.dumps(record, indent=2, sort_keys=True) + "\n"
    (Path(folder) / PROVENANCE).write_text(text, encoding="utf-8")


def package_version(package: str) -> str:
    """Installed version; "unknown" when the package is missing, or runs from a folder without being installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def device_name(device: str) -> str:
    """The maker's name of a device."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {limits.cores()} of {os.cpu_count()} logical cores"


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
