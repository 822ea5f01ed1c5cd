"""Export: one SAE as a zip that SAELens reads after unpacking.

    cfg.json, sae_weights.safetensors, sparsity.safetensors   SAELens
    encode.json, provenance.json                              ours: how it encodes exactly, how it was made
    README.md                                                 how to load it

The same SAE gives the same bytes: members in alphabetical order, one fixed time, fixed permissions.
"""

import json
import shutil
import zipfile
from pathlib import Path

from workers.engine.disk import disk_require
from workers.engine.formats.saelens import CFG, ENCODE, SAELENS_VERSION, SPARSITY, WEIGHTS, sae_read
from workers.engine.progress import Progress
from workers.engine.provenance import PROVENANCE, sha256_of
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.exports import ExportInputs, ExportResult, ExportSpec

REQUIRED = (CFG, WEIGHTS, ENCODE)
OPTIONAL = (SPARSITY, PROVENANCE)
MUST_AGREE = (
    "architecture",
    "d_in",
    "d_out",
    "d_sae",
    "k",
    "apply_b_dec_to_input",
    "normalize_activations",
    "rescale_acts_by_decoder_norm",
)
README = "README.md"
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can state: real times would make equal archives differ."""

README_TEXT = """# {kind}: {architecture}, {d_in} → {d_sae}

Hook site: {sites}.

Unpack the archive, then with SAELens {version} or a later 6.x:

```python
from sae_lens import SAE

sae = SAE.load_from_disk("path/to/this/folder")
latents = sae.encode(activations)        # (tokens, {d_in}) -> (tokens, {d_sae})
output = sae(activations)                # (tokens, {d_in}) -> (tokens, {d_out})
```

`activations` are the language model's vectors at the hook site named in `cfg.json` (`metadata.hook_name` in
TransformerLens' words, `metadata.hf_hook_name` as a Hugging Face module where known), as the model makes them: scaling
is folded into the weights, or done by the SAE. {sinks}

`encode.json` states exactly how the SAE encodes; `provenance.json`, where present, how it was made.
"""


def export(spec: ExportSpec, inputs: ExportInputs, progress: Progress) -> ExportResult:
    """Pack `inputs.sae_dir` into `inputs.file_name` below out_dir.

    Raises BadArtifact for an SAE that the format cannot express, DiskFull.
    """
    folder = Path(inputs.sae_dir)
    encode = _checked(folder)
    members = sorted([*REQUIRED, README, *(name for name in OPTIONAL if (folder / name).exists())])
    progress.phase("packing", len(members), "files")
    # weights are stored as they are, and the other files are small
    disk_require(inputs.out_dir, sum(path.stat().st_size for path in folder.iterdir() if path.name in members))
    archive = Path(inputs.out_dir) / inputs.file_name
    with zipfile.ZipFile(archive, "w") as out:
        for name in members:
            with out.open(_member(name), "w", force_zip64=True) as file:
                if name == README:
                    file.write(readme_of(encode).encode())
                else:
                    with open(folder / name, "rb") as source:
                        shutil.copyfileobj(source, file)
            progress.advance()
    return ExportResult(
        file_name=inputs.file_name,
        bytes=archive.stat().st_size,
        sha256=sha256_of(archive),
        members=tuple(members),
    )


def readme_of(encode: EncodeSpec) -> str:
    """The words that go with the archive."""
    sinks = ""
    if encode.sink_threshold is not None:
        sinks = (
            f"Position 0 and tokens with a norm above {encode.sink_threshold:.4g} were left out of its training: "
            "its latents mean nothing there."
        )
    if encode.excluded_tokens:
        sinks += " So were special tokens (`metadata.excluded_tokens` has their ids)."
    read, answered = encode.hook_site, encode.site_out
    sites = f"layer {read.layer}, {read.site}"
    if encode.is_transcoder:
        sites += f"; it answers layer {answered.layer}, {answered.site} (`metadata.hook_name_out`)"
    return README_TEXT.format(
        kind="Transcoder" if encode.is_transcoder else "Sparse autoencoder",
        architecture=encode.architecture,
        d_in=encode.d_in,
        d_sae=encode.d_sae,
        sites=sites,
        d_out=encode.width_out,
        version=SAELENS_VERSION,
        sinks=sinks,
    )


def _checked(folder: Path) -> EncodeSpec:
    """The EncodeSpec of an SAE whose files are whole and whose cfg.json says the same."""
    missing = [name for name in REQUIRED if not (folder / name).exists()]
    if missing:
        raise BadArtifact(f"The SAE lacks {', '.join(missing)}.", "Train or import it again.")
    encode = sae_read(folder).encode_spec
    cfg = json.loads((folder / CFG).read_text(encoding="utf-8"))
    for name in MUST_AGREE:
        wanted, stated = getattr(encode, name), cfg.get(name)
        if (wanted or None) != (stated or None):
            raise BadArtifact(
                f"SAELens would compute something else: {name} is {wanted!r} in {ENCODE} and {stated!r} in {CFG}.",
                f"Restore both files from the training run that made the SAE; {ENCODE} decides here.",
            )
    return encode


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, FIXED_TIME)
    # weights do not shrink: stored, they can be read in place
    member.compress_type = zipfile.ZIP_STORED if name.endswith(".safetensors") else zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    return member
