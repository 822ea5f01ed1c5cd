"""Specs of exports."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.base import Inputs, Result, Spec, option

EXPORT_FORMATS = (("saelens", "SAELens folder (cfg.json, sae_weights.safetensors, sparsity.safetensors)"),)


@dataclass(frozen=True, kw_only=True)
class ExportSpec(Spec):
    """Pack an SAE for others as one zip file."""

    KIND: ClassVar[str] = "export"
    QUEUE: ClassVar[str] = "io"
    TITLE: ClassVar[str] = "Export SAE"
    ENGINE: ClassVar[str] = "exports.packing:export"

    sae: int = option(label="SAE", reference="saes.Sae", help="The SAE to pack.")
    format: str = option("saelens", label="Format", choices=EXPORT_FORMATS, help="The layout of the archive.")


@dataclass(frozen=True, kw_only=True)
class ExportInputs(Inputs):
    """`file_name` is the archive's name below out_dir."""

    sae_dir: str = ""
    file_name: str = ""


@dataclass(frozen=True, kw_only=True)
class ExportResult(Result):
    file_name: str
    bytes: int
    sha256: str
    members: tuple[str, ...]
