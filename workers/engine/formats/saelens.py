"""SAELens folders (format of release 6): write an Sae, read one back.

    cfg.json                 architecture, widths, normalisation, metadata (hook_name, model_name, …)
    sae_weights.safetensors  W_enc (D, F), b_enc (F,), W_dec (F, E), b_dec (E,); threshold, b_gate, r_mag, b_mag (F,) or
                             W_skip (E, D) where the architecture has them
    sparsity.safetensors     `sparsity` (F,): log10 of the firing density, where it is known
    encode.json              ours: the EncodeSpec; where present it decides, cfg.json is for others

Without `metadata.sae_lens_version` SAELens takes cfg.json for an old one and drops the metadata: it is always written.
Read are the architectures of saes/encoding.py. BatchTopK and Matryoshka are jumprelu here, as SAELens saves them; what
trained an SAE stands in `metadata.training_architecture`. Training checkpoints are not this format (training/checkpoints.py).
Weights are written as they are: bring an SAE to unit decoder rows first (`Sae.with_unit_decoder`).
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workers.engine.disk import disk_require
from workers.engine.formats.hook_names import hook_name_of, hook_site_of
from workers.engine.saes.encoding import sae_check
from workers.engine.saes.sae import Sae
from workers.engine.specs.encode import TRANSCODERS, EncodeSpec
from workers.engine.specs.errors import BadArtifact, SpecInvalid
from workers.engine.specs.hook_site import HookSite

SAELENS_VERSION = "6.54.12"
"""The release whose format this is."""
SMALL_FILES_BYTES = 2**20
"""What cfg.json, encode.json and the densities take beside the weights, at most."""
CFG, WEIGHTS, SPARSITY, ENCODE = "cfg.json", "sae_weights.safetensors", "sparsity.safetensors", "encode.json"


def sae_write(
    sae: Sae, folder: str | Path, *, metadata: dict[str, Any] | None = None, log10_density: Tensor | None = None
) -> None:
    """Write `sae` into `folder` (made if missing).

    `metadata` goes to cfg.json: model_name, hf_hook_name, context_size, dataset_path, … as SAELens calls them;
    hook_name comes from the EncodeSpec. `log10_density` (F,) becomes sparsity.safetensors. Raises DiskFull.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().float().contiguous() for name, tensor in sae.tensors.items()}
    disk_require(folder, sum(tensor.nbytes for tensor in tensors.values()) + SMALL_FILES_BYTES)
    save_file(tensors, folder / WEIGHTS)
    _json_write(folder / CFG, cfg_of(sae.encode_spec, metadata or {}))
    _json_write(folder / ENCODE, sae.encode_spec.to_json())
    if log10_density is not None:
        save_file({"sparsity": log10_density.detach().cpu().float().contiguous()}, folder / SPARSITY)


def cfg_of(spec: EncodeSpec, metadata: dict[str, Any]) -> dict[str, Any]:
    """The content of cfg.json."""
    cfg: dict[str, Any] = {
        "architecture": spec.architecture,
        "d_in": spec.d_in,
        "d_sae": spec.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": spec.apply_b_dec_to_input,
        "normalize_activations": spec.normalize_activations,
        "reshape_activations": "none",
    }
    if spec.architecture == "topk":
        cfg |= {"k": spec.k, "rescale_acts_by_decoder_norm": spec.rescale_acts_by_decoder_norm}
    if spec.architecture in TRANSCODERS:
        cfg |= {"d_out": spec.width_out}
        metadata = metadata | {"hook_name_out": hook_name_of(spec.site_out), "hook_head_index_out": None}
    elif spec.hook_site.site == "attn_z":
        cfg |= {"reshape_activations": "hook_z"}  # SAELens' transcoders never reshape
    ours = {
        "sae_lens_version": SAELENS_VERSION,
        "sae_lens_training_version": None,
        "hook_name": hook_name_of(spec.hook_site),
        "model_class_name": "HookedTransformer",  # whose words hook_name is in; with another SAELens reads it otherwise
        "hook_head_index": None,
        "model_from_pretrained_kwargs": {},
        "sink_threshold": spec.sink_threshold,
        "excluded_tokens": list(spec.excluded_tokens),
    }
    return cfg | {"metadata": metadata | ours}


def sae_read(folder: str | Path) -> Sae:
    """The SAE in `folder`, on the CPU in float32. Missing, damaged or unknown content raises BadArtifact."""
    folder = Path(folder)
    cfg = _json_read(folder / CFG)
    tensors = _weights_read(folder / WEIGHTS)
    is_ours = (folder / ENCODE).exists()
    spec = _encode_read(folder / ENCODE) if is_ours else encode_spec_of(cfg)
    sae_check(spec, tensors)
    if not is_ours:
        _fold_scaler(folder, cfg, tensors)
    return Sae(**{"b_enc": None} | tensors, encode_spec=spec)


def encode_spec_of(cfg: dict[str, Any]) -> EncodeSpec:
    """The EncodeSpec that a cfg.json describes, older flat ones included. Raises BadArtifact."""
    metadata = cfg.get("metadata") or {}
    hook_name = metadata.get("hook_name") or cfg.get("hook_name") or cfg.get("hook_point")
    if not hook_name:
        raise BadArtifact(f"{CFG} does not say which hook the SAE reads.", "Add metadata.hook_name to it.")
    is_old_topk = cfg.get("activation_fn", cfg.get("activation_fn_str")) == "topk"
    architecture = "topk" if is_old_topk else cfg.get("architecture", "standard")
    is_transcoder = architecture in TRANSCODERS
    normalization = cfg.get("normalize_activations") or "none"
    try:
        return EncodeSpec(
            architecture=architecture,
            d_in=int(cfg["d_in"]),
            d_sae=int(cfg["d_sae"]),
            hook_site=hook_site_of(hook_name),
            apply_b_dec_to_input=bool(cfg.get("apply_b_dec_to_input", not is_transcoder)),
            normalize_activations="none" if normalization == "expected_average_only_in" else normalization,
            k=_k_of(cfg) if architecture == "topk" else None,
            rescale_acts_by_decoder_norm=bool(cfg.get("rescale_acts_by_decoder_norm", False)),
            sink_threshold=metadata.get("sink_threshold"),
            excluded_tokens=tuple(metadata.get("excluded_tokens") or ()),
            d_out=int(cfg["d_out"]) if is_transcoder else None,
            hook_site_out=_hook_site_out(metadata) if is_transcoder else None,
        )
    except KeyError as missing:
        raise BadArtifact(f"{CFG} lacks {missing}.", "The file is not a SAELens configuration.") from missing
    except SpecInvalid as wrong:
        raise BadArtifact(f"{CFG}: {wrong.message}", wrong.hint) from wrong


def _hook_site_out(metadata: dict[str, Any]) -> HookSite:
    if not metadata.get("hook_name_out"):
        raise BadArtifact(f"{CFG} does not say which hook the transcoder answers.", "Add metadata.hook_name_out to it.")
    return hook_site_of(metadata["hook_name_out"])


def _k_of(cfg: dict[str, Any]) -> int:
    """k of a TopK cfg; SAELens' own default where it is not said."""
    return int(cfg.get("k") or (cfg.get("activation_fn_kwargs") or {}).get("k") or 100)


def _fold_scaler(folder: Path, cfg: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Fold the factor of an SAELens checkpoint into its weights, in place; final SAEs have nothing to fold."""
    if cfg.get("normalize_activations") != "expected_average_only_in":
        return
    scaler = folder / "activation_scaler.json"
    factor = _json_read(scaler).get("scaling_factor") if scaler.exists() else None
    if not factor:
        raise BadArtifact(
            "The SAE expects activations scaled by a factor (expected_average_only_in) that is not in the folder.",
            "Take the final SAE of the run, or put its activation_scaler.json beside cfg.json.",
        )
    tensors["W_enc"] *= factor
    tensors["W_dec"] /= factor
    tensors["b_dec"] /= factor


def _weights_read(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise BadArtifact(f"{path.name} is missing.", "A SAELens folder holds cfg.json and sae_weights.safetensors.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadArtifact(f"{path.name} cannot be read: {error}", "Copy or download it again.") from error
    return {name: tensor.to(torch.float32) for name, tensor in tensors.items()}


def _encode_read(path: Path) -> EncodeSpec:
    try:
        return EncodeSpec.from_json(_json_read(path))
    except (SpecInvalid, TypeError) as error:
        raise BadArtifact(f"{path.name} is not an EncodeSpec: {error}", "Restore the file from its SAE.") from error


def _json_read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadArtifact(f"{path.name} is missing.", "A SAELens folder holds cfg.json and its weights.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadArtifact(f"{path.name} is not JSON: {error}", "Copy or download it again.") from error
    if not isinstance(content, dict):
        raise BadArtifact(f"{path.name} is not a JSON object.", "Copy or download it again.")
    return content


def _json_write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
