"""What a training on text measures once, before its first step: sink thresholds, factors and means of each hook site.

The sample (activations/sinks.py) is drawn over the whole of all texts alike, by neither the seed nor the mixing: two runs
on the same texts measure the same. A resumed run takes what its checkpoint holds.

Shapes: P included positions, D d_in, E d_out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from workers.engine.activations.harvest import Harvested
from workers.engine.activations.sinks import sink_threshold
from workers.engine.specs.training import TrainSpec
from workers.engine.training.captured_sites import CapturedSites
from workers.engine.training.normalizing import Normalizing


@dataclass(frozen=True)
class Calibration:
    """For each hook site read: sink threshold, normalisation, and means of normalised activations and targets."""

    thresholds: tuple[float, ...]
    normalizing: tuple[Normalizing, ...]
    means: tuple[tuple[Tensor, Tensor], ...]
    tokens: int
    """Measured on, the first of each context not counted."""
    sinks: int
    """Of them, sink tokens."""

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        numbers = [(t, n.factor, n.target_factor) for t, n in zip(self.thresholds, self.normalizing)]
        named = {
            "calibration": torch.tensor(numbers, dtype=torch.float64),
            "calibration.counts": torch.tensor([self.tokens, self.sinks]),
            "calibration.norms": torch.tensor([n.mean_norm for n in self.normalizing], dtype=torch.float64),
        }
        for number, (mean_D, target_mean_E) in enumerate(self.means):
            named |= {f"mean.{number}": mean_D, f"target_mean.{number}": target_mean_E.clone()}
        return named

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], how: str) -> Self:
        """The inverse of `tensors`. KeyError when they hold none."""
        numbers = tensors["calibration"].tolist()
        tokens, sinks = tensors["calibration.counts"].tolist()
        norms = tensors["calibration.norms"].tolist()
        return cls(
            tokens=tokens,
            sinks=sinks,
            thresholds=tuple(threshold for threshold, _, _ in numbers),
            normalizing=tuple(
                Normalizing(how, factor, target_factor, norm)
                for (_, factor, target_factor), norm in zip(numbers, norms)
            ),
            means=tuple((tensors[f"mean.{n}"], tensors[f"target_mean.{n}"]) for n in range(len(numbers))),
        )


def calibration_before(job_dir: str | Path, spec: TrainSpec) -> Calibration | None:
    """What the newest readable checkpoint of the run holds; None when there is none."""
    for path in sorted(Path(job_dir).glob("checkpoints/step-*/source.safetensors"), reverse=True):
        try:
            calibration = Calibration.from_tensors(load_file(path), spec.normalize_activations)
        except (OSError, SafetensorError, KeyError):
            continue
        if len(calibration.thresholds) == len(spec.hook_sites):
            return calibration
    return None


def calibrate(batches: Iterable[Harvested], sites: CapturedSites, how: str) -> Calibration:
    """Measure on `batches` of the sample; all of it is held in memory, in bfloat16."""
    norms: list[list[Tensor]] = [[] for _ in sites.all]
    rows: list[list[Tensor]] = [[] for _ in sites.all]
    tokens: list[Tensor] = []
    for batch in batches:
        tokens.append(batch.is_counted_BT)
        is_token_BT = batch.is_counted_BT
        is_token_BT[:, 0] = False
        for number, (x_BTD, norms_BT) in enumerate(zip(batch.x, batch.norms)):
            rows[number].append(x_BTD[is_token_BT].bfloat16())
            norms[number].append(norms_BT)
    thresholds = tuple(sink_threshold(norms[n], tokens) for n in range(len(sites.reads)))
    included_P = _included(norms, tokens, thresholds)
    kept = tuple(torch.cat(part)[included_P] for part in rows)
    normalizing = tuple(_normalizing(how, *sites.pair(kept, number)) for number in range(len(sites.reads)))
    means = tuple(_means(each, *sites.pair(kept, number)) for number, each in enumerate(normalizing))
    sinks = len(included_P) - int(included_P.sum())
    return Calibration(thresholds, normalizing, means, tokens=len(included_P), sinks=sinks)


def _included(norms: list[list[Tensor]], tokens: list[Tensor], thresholds: tuple[float, ...]) -> Tensor:
    """Of the sample's tokens but the first of each context: which are a sink at no site."""
    is_fine = [
        torch.cat([n[:, 1:][is_token[:, 1:]] for n, is_token in zip(norms[number], tokens)]) <= threshold
        for number, threshold in enumerate(thresholds)
    ]
    return torch.stack(is_fine).all(0)


def _normalizing(how: str, x_PD: Tensor, target_PE: Tensor | None) -> Normalizing:
    return Normalizing.measured(how, _norm(x_PD), None if target_PE is None else _norm(target_PE))


def _norm(x_PD: Tensor) -> tuple[float, int]:
    """Mean norm and width."""
    return x_PD.float().norm(dim=-1).mean(dtype=torch.float64).item(), x_PD.shape[-1]


def _means(normalizing: Normalizing, x_PD: Tensor, target_PE: Tensor | None) -> tuple[Tensor, Tensor]:
    mean_D = normalizing.inputs(x_PD).mean(0)
    return mean_D, mean_D if target_PE is None else normalizing.targets(target_PE).mean(0)
