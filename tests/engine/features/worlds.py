"""Small worlds of activations: a dense array as the truth, and the same as the firings the engine keeps."""

import numpy as np

from workers.engine.features.firings import Firings


def random_activations(contexts, context_length, latents, share=0.1, seed=0):
    """Dense (positions, latents) float32, position 0 of each context silent; latent 1 never fires, latent 2 is dense."""
    generator = np.random.default_rng(seed)
    dense = generator.exponential(size=(contexts * context_length, latents)).astype(np.float32)
    dense[generator.random(dense.shape) > share] = 0
    dense[:, 2] = generator.exponential(size=len(dense)) + 0.1
    dense[:, 1] = 0
    dense[::context_length] = 0
    return dense


def firings_of(dense, folder, included=None, calls=3):
    """The firings of a dense array at the included positions, added in several calls as a run does."""
    firings = Firings(folder, dense.shape[1])
    for part in np.array_split(np.arange(len(dense)) if included is None else included, calls):
        places, latents = np.nonzero(dense[part])
        firings.add(part, places, latents, dense[part][places, latents])
    return firings
