"""What a language model takes in memory in each quantization on each device of this machine, before it is loaded.

Weights + context (the key-value cache) + working memory (one forward pass), against the memory that is free now. The
arithmetic is that of workers/engine/specs/memory_estimate.py; here it meets the devices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.fit import FITS, TIGHT, FitWord, fit_word
from workers.engine.monitor.devices import Device, devices
from workers.engine.specs.language_models import QUANTIZATIONS
from workers.engine.specs.memory_estimate import (
    HELD_IN,
    PRECISION_BYTES,
    compute_precision,
    kv_cache_bytes,
    weights_bytes,
    working_bytes,
)

USUAL_CONTEXT = 1024
USUAL_BATCH = 1
PUBLISHED = {precision: quantization for quantization, precision in HELD_IN.items()}
"""Quantization that holds weights of a dtype as they are."""
DOES_NOT_PACK = FitWord("does not pack", "bad", "circle-x", 3)
"""4-bit weights are packed in blocks that this model's widths do not fill."""
BY_QUALITY = ("int8", "nf4")
"""What is recommended where the weights as published do not fit, best first."""


@dataclass(frozen=True)
class ModelShape:
    """The numbers of a language model that its memory follows from."""

    parameters: int
    linear_parameters: int
    """Weights that 8-bit and 4-bit quantize."""
    kv_width: int
    d_model: int
    d_mlp: int
    vocab_size: int
    max_context: int
    dtype: str
    nf4_misfit: str = ""
    """The matrix whose widths do not pack in 4 bits, if there is one."""

    @classmethod
    def from_report(cls, report: Mapping[str, Any]) -> "ModelShape":
        """From a look-up's or an import's Result as JSON; numbers that an older import did not write are 0."""
        words = ("dtype", "nf4_misfit")
        numbers = {name: report.get(name, 0) for name in cls.__dataclass_fields__ if name not in words}
        return cls(**numbers, **{name: report.get(name, "") for name in words})

    @property
    def published(self) -> str:
        """The quantization that "as published" means."""
        return PUBLISHED.get(self.dtype, "fp32")


@dataclass(frozen=True)
class Need:
    """Bytes of a loaded language model, by what they are for."""

    weights_bytes: int
    context_bytes: int
    working_bytes: int
    precision: str
    """In which the device multiplies: "float32", "bfloat16" or "float16"."""

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.context_bytes + self.working_bytes


@dataclass(frozen=True)
class DeviceFit:
    """A language model in one quantization on one device."""

    device: str
    free_bytes: int
    need: Need
    verdict: FitWord


@dataclass(frozen=True)
class QuantizationFit:
    """One line of the fit table: a quantization on every device."""

    quantization: str
    label: str
    is_published: bool
    is_recommended: bool
    devices: tuple[DeviceFit, ...]


def model_need(shape: ModelShape, quantization: str, device: Device, *, context_length: int, batch: int) -> Need:
    """Bytes on `device`; `quantization` is a key of QUANTIZATIONS, `batch` counts contexts run at once."""
    precision = compute_precision(
        quantization=quantization,
        multiplies_bf16=device.multiplies_bf16,
        multiplies_fp16=device.multiplies_fp16,
    )
    text = {"context_length": context_length, "batch": batch, "bytes_each": PRECISION_BYTES[precision]}
    return Need(
        weights_bytes=_weights_on(shape, quantization, device),
        context_bytes=kv_cache_bytes(kv_width=shape.kv_width, **text),
        working_bytes=working_bytes(d_model=shape.d_model, d_mlp=shape.d_mlp, vocab_size=shape.vocab_size, **text),
        precision=precision,
    )


def _weights_on(shape: ModelShape, quantization: str, device: Device) -> int:
    return weights_bytes(
        quantization=quantization,
        parameters=shape.parameters,
        linear_parameters=shape.linear_parameters,
        multiplies_bf16=device.multiplies_bf16,
        multiplies_fp16=device.multiplies_fp16,
    )


def footprint_estimate(shape: ModelShape, quantization: str) -> int:
    """Bytes of the weights alone on this machine's CPU, where an import measures them."""
    return _weights_on(shape, quantization or shape.published, devices()[0])


def context_within(shape: ModelShape, context_length: int = USUAL_CONTEXT) -> int:
    """The context length, cut to what the model can read."""
    return min(context_length, shape.max_context) if shape.max_context else context_length


def quantization_fits(
    shape: ModelShape, *, context_length: int = USUAL_CONTEXT, batch: int = USUAL_BATCH
) -> tuple[QuantizationFit, ...]:
    """Every quantization on every device of this machine; one of them, if any fits, is recommended."""
    here = devices()
    fits = {key: _on_devices(shape, key, here, context_length, batch) for key, _ in QUANTIZATIONS}
    best = recommended(shape.published, fits)
    return tuple(
        QuantizationFit(
            quantization=key,
            label=label,
            is_published=key == shape.published,
            is_recommended=key == best,
            devices=fits[key],
        )
        for key, label in QUANTIZATIONS
    )


def _on_devices(
    shape: ModelShape, quantization: str, here: Sequence[Device], context_length: int, batch: int
) -> tuple[DeviceFit, ...]:
    found = []
    for device in here:
        need = model_need(
            shape, quantization, device, context_length=context_within(shape, context_length), batch=batch
        )
        verdict = fit_word(needed_bytes=need.total_bytes, free_bytes=device.free_bytes)
        if quantization == "nf4" and shape.nf4_misfit:
            verdict = DOES_NOT_PACK
        found.append(DeviceFit(device.name, device.free_bytes, need, verdict))
    return tuple(found)


def recommended(published: str, fits: Mapping[str, Sequence[DeviceFit]]) -> str:
    """The best quality that fits: as published, else 8-bit, else 4-bit; "" when none does.

    GPUs are asked first: a quantized model on a GPU is much faster than a whole one on the CPU. What is tight counts only
    when nothing fits.
    """
    for verdict in (FITS, TIGHT):
        for is_cpu in (False, True):
            for quantization in (published, *BY_QUALITY):
                places = [fit for fit in fits[quantization] if (fit.device == "cpu") == is_cpu]
                if any(fit.verdict == verdict for fit in places):
                    return quantization
    return ""


def fits_json(fits: Sequence[QuantizationFit]) -> list[dict[str, Any]]:
    """The fit table as the API shows it."""
    return [
        {
            "quantization": line.quantization,
            "label": line.label,
            "published": line.is_published,
            "recommended": line.is_recommended,
            "devices": [
                {
                    "device": fit.device,
                    "free_bytes": fit.free_bytes,
                    "weights_bytes": fit.need.weights_bytes,
                    "context_bytes": fit.need.context_bytes,
                    "working_bytes": fit.need.working_bytes,
                    "total_bytes": fit.need.total_bytes,
                    "precision": fit.need.precision,
                    "fit": fit.verdict.word,
                }
                for fit in line.devices
            ],
        }
        for line in fits
    ]
