"""A language model, texts and hook sites, opened and checked once for a training that reads them all the way through.

Shapes: N contexts, M held-out rows, D width of a site.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from workers.engine.activations.harvest import Harvested, harvest
from workers.engine.activations.sinks import contexts_drawn, sample_order
from workers.engine.activations.texts import Texts
from workers.engine.hooks.sites import hook_point
from workers.engine.language_models.loading import language_model_load, tokenizer_load
from workers.engine.language_models.special_tokens import special_token_ids
from workers.engine.progress import ENDING_WISHES, Progress, Stopped
from workers.engine.specs.errors import EngineError
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.training.calibrating import Calibration, calibrate
from workers.engine.training.captured_sites import CapturedSites
from workers.engine.training.memory import free_bytes

HELD_OUT_ROWS = 8_192
"""Enough for a threshold: every row tells of all latents. Each costs a pass through the model at the end of the run."""
DEVICE_SHARE = 0.25
"""Shuffle buffers lie on the device when they take at most this share of what is free there."""


class TextReader:
    """Raises EngineError "tokenizer_mismatch", "context_too_long", "context_lengths_differ", those of `hook_point`;
    BadArtifact."""

    def __init__(self, spec: TrainSpec, inputs: TrainInputs, progress: Progress) -> None:
        self._inputs, self._batch_contexts = inputs, spec.batch_contexts
        self._normalize = spec.normalize_activations
        progress.phase("loading the language model")
        self.model = language_model_load(
            inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
        )
        self.texts = Texts.open(inputs.tokenization_dirs, "train")
        self.texts.check(self.model)
        if self.texts.position_count < spec.batch_size:
            raise EngineError(
                f"The texts hold {self.texts.position_count} tokens, fewer than one batch of {spec.batch_size}.",
                "Choose a smaller batch or tokenize more text.",
            )
        self.excluded_tokens = special_token_ids(tokenizer_load(inputs.model_dir)) if spec.leave_out_special else ()
        self.captured = CapturedSites.of(spec)
        self.widths = tuple(hook_point(self.model, site).width for site in self.captured.all)

    def harvest(self, order_N2: np.ndarray, texts: Texts | None = None) -> Iterator[Harvested]:
        """One forward pass after another over contexts of the training part, or of `texts`."""
        texts, sites = texts or self.texts, self.captured.all
        return harvest(self.model, texts, order_N2, sites, self._batch_contexts, self.excluded_tokens)

    def calibrate(self, progress: Progress) -> Calibration:
        """Measure what is measured once. Raises Stopped for a wish."""
        order_N2 = sample_order(self.texts)
        progress.phase("measuring norms and means", len(order_N2), "contexts")

        def told() -> Iterator[Harvested]:
            for batch in self.harvest(order_N2):
                yield batch
                progress.advance(len(batch.is_token_BT))
                stop_if_asked(progress)

        return calibrate(told(), self.captured, self._normalize)

    def held_out(self, limits: tuple[float | None, ...]) -> tuple[Tensor, ...]:
        """Included rows (M, D) bfloat16 of held-out contexts, for each captured site; M may be 0."""
        texts = Texts.open(self._inputs.tokenization_dirs, "heldout")
        order_N2 = contexts_drawn(HELD_OUT_ROWS, texts)
        parts = [[torch.empty(0, width, dtype=torch.bfloat16)] for width in self.widths]
        for batch in self.harvest(order_N2, texts):
            included_BT = batch.included(limits)
            for part, x_BTD in zip(parts, batch.x):
                part.append(x_BTD[included_BT].to("cpu", torch.bfloat16))
        return tuple(torch.cat(part)[:HELD_OUT_ROWS] for part in parts)

    def buffer_device(self, rows: int) -> str:
        """Where two buffers of `rows` rows for all sites lie: on the training's device if there is room, else on the CPU."""
        needed = 2 * rows * sum(self.widths) * torch.bfloat16.itemsize
        device = self._inputs.device
        return device if needed <= DEVICE_SHARE * free_bytes(device) else "cpu"


def stop_if_asked(progress: Progress) -> None:
    """Raise Stopped for a wish that ends the work, where nothing would be lost."""
    wish = progress.wish()
    if wish in ENDING_WISHES:
        raise Stopped(wish)
