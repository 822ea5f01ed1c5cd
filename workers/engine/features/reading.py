"""First half of a feature run: contexts through the language model, included positions through every SAE, firings to disk.

One forward pass serves all SAEs, whatever their hook sites. What is on disk so far is noted every SAVE_EVERY_S seconds in
reading.json, after whole batches; a try that was killed goes on from there with the same batches and so with the same
numbers. When memory runs out the batch is halved, which changes numbers only by rounding.

Shapes: N contexts, T tokens in a context, B contexts at once, D d_in, P included positions.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.activations.positions import included_positions, is_one_of
from workers.engine.datasets.contexts import Contexts
from workers.engine.features.firings import FIRING, Firings
from workers.engine.hooks.capture import capture_sites
from workers.engine.progress import ENDING_WISHES, Progress, Stopped
from workers.engine.saes.sae import Sae, SparseLatents
from workers.engine.specs.features import FeatureRunSpec
from workers.engine.training.memory import MEMORY_ERRORS, is_out_of_memory

STATE = "reading.json"
SAVE_EVERY_S = 20.0


@dataclass
class SaeFirings:
    """One SAE and what it fired so far."""

    sae: Sae
    firings: Firings
    largest: float = 0.0
    """Largest activation of any latent."""


@dataclass(frozen=True)
class Fired:
    """What one SAE fired in one batch: flat positions (P,) that count, and latents at places among them."""

    positions_P: np.ndarray
    latents: SparseLatents


class Reading:
    """Reads `contexts` for all of `saes`; its files lie below `folder` and outlive the process."""

    def __init__(
        self, spec: FeatureRunSpec, folder: str | Path, model: PreTrainedModel, saes: list[Sae], contexts: Contexts
    ) -> None:
        self._spec, self._folder, self._model, self._contexts = spec, Path(folder), model, contexts
        self._folder.mkdir(parents=True, exist_ok=True)
        self.each = [
            SaeFirings(sae, Firings(self._folder / f"sae-{number:02d}", sae.encode_spec.d_sae))
            for number, sae in enumerate(saes)
        ]
        self.batch_contexts = spec.batch_contexts
        self._done = 0
        self.tokens_read = 0
        self._saved_at = time.monotonic()

    def run(self, progress: Progress) -> float:
        """Read what is left; returns tokens per second of this try. Raises Stopped for a wish, having noted the place."""
        contexts = self._contexts
        tokens_before = np.concatenate([[0], np.cumsum(contexts.lengths, dtype=np.int64)])
        self._resume(progress)
        progress.resumable = True
        progress.phase("Reading contexts", contexts.token_count, "tokens")
        begun_at, begun_tokens = time.perf_counter(), tokens_before[self._done]
        while self._done < len(contexts):
            self._obey(progress)
            if self._done and progress.wish() == "finish":
                progress.event(f"Finished early, as asked: {self._done:,} of {len(contexts):,} contexts were read.")
                break
            self._batch(progress)
            read = int(tokens_before[self._done])
            rate = (read - begun_tokens) / (time.perf_counter() - begun_at)
            progress.reach(read, f"{rate:,.0f} tokens/s")
            if time.monotonic() > self._saved_at + SAVE_EVERY_S:
                self._save()
        self._save()
        progress.resumable = False
        self.tokens_read = int(tokens_before[self._done])
        return float(self.tokens_read - begun_tokens) / max(time.perf_counter() - begun_at, 1e-9)

    @property
    def contexts_read(self) -> int:
        """Fewer than there are when the run was asked to finish early."""
        return self._done

    def _batch(self, progress: Progress) -> None:
        """The next contexts; when memory runs out, fewer at once."""
        try:
            stop = min(self._done + self.batch_contexts, len(self._contexts))
            fired = self._fired(self._contexts[self._done : stop])
        except MEMORY_ERRORS as error:
            if not is_out_of_memory(error) or self.batch_contexts == 1:
                raise
            self.batch_contexts = max(1, self.batch_contexts // 2)
            progress.event(
                f"Memory ran out: from context {self._done} on, {self.batch_contexts} are read at once.",
                level="warning",
            )
            return
        for each, new in zip(self.each, fired):
            values = new.latents.value_N.cpu().numpy()
            each.firings.add(
                new.positions_P, new.latents.token_N.cpu().numpy(), new.latents.latent_N.cpu().numpy(), values
            )
            each.largest = max(each.largest, float(values.max(initial=0.0)))
        self._done = stop

    def _fired(self, batch: Contexts) -> list[Fired]:
        """Forward pass and encoders; nothing is kept before all of it succeeded."""
        sites = list(dict.fromkeys(each.sae.encode_spec.hook_site for each in self.each))
        x = dict(zip(sites, capture_sites(self._model, torch.from_numpy(batch.tokens).long(), sites)))
        ids_BT, is_token_BT = torch.from_numpy(batch.tokens), torch.from_numpy(batch.is_token)
        return [
            self._encoded(
                each.sae,
                x[each.sae.encode_spec.hook_site],
                is_token_BT & ~is_one_of(ids_BT, each.sae.encode_spec.excluded_tokens),
            )
            for each in self.each
        ]

    def _encoded(self, sae: Sae, x_BTD: Tensor, is_token_BT: Tensor) -> Fired:
        is_included_BT = included_positions(x_BTD, sae.encode_spec.sink_threshold, is_token_BT)
        within = is_included_BT.flatten().nonzero().squeeze(1).cpu().numpy()
        positions = self._done * self._contexts.context_length + within
        return Fired(positions, sae.encode_sparse(x_BTD[is_included_BT]))

    def _obey(self, progress: Progress) -> None:
        wish = progress.wish()
        if wish == "checkpoint":
            self._save()
            progress.wish_done(wish)
        elif wish in ENDING_WISHES:
            self._save()
            raise Stopped(wish)

    def _save(self) -> None:
        state = {
            "key": self._key(),
            "contexts": self._done,
            "batch_contexts": self.batch_contexts,
            "largest": [each.largest for each in self.each],
            "sizes": [each.firings.sizes() for each in self.each],
        }
        draft = self._folder / f"{STATE}.draft"
        draft.write_text(json.dumps(state), "utf-8")
        draft.replace(self._folder / STATE)
        self._saved_at = time.monotonic()

    def _resume(self, progress: Progress) -> None:
        """Take up the noted place, or begin anew when there is none that fits."""
        state = self._noted()
        if state is None or not all(
            each.firings.cut_back(sizes) for each, sizes in zip(self.each, state["sizes"], strict=True)
        ):
            for each in self.each:
                each.firings.clear()
            return
        self._done, self.batch_contexts = state["contexts"], state["batch_contexts"]
        for each, largest in zip(self.each, state["largest"], strict=True):
            each.largest = largest
        progress.event(f"Resumed after {self._done} of {len(self._contexts)} contexts.")

    def _noted(self) -> dict[str, Any] | None:
        path = self._folder / STATE
        if not path.exists():
            return None
        state = json.loads(path.read_text("utf-8"))
        return state if state["key"] == self._key() else None

    def _key(self) -> dict[str, Any]:
        """What must be the same for noted firings to be of use."""
        return {
            "spec": self._spec.to_json(),
            "contexts": len(self._contexts),
            "encode": [each.sae.encode_spec.to_json() for each in self.each],
            "firings": list(FIRING.names),
        }
