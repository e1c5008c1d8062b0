"""Random streams: the published one, and independent named ones.

Two kinds of chance meet in a simulated animal. What the *experimenter* decides (class order, gate patterns) is drawn
as the published simulations drew it, from one legacy numpy stream a seed, so that animal 12 here meets what seed 12
met there. What happens in the *animal* (initial synapses, order of trials, noise of codes) comes from streams of its
own, one a purpose, so that leaving out an ingredient of the model shifts the chance of nothing else, and an animal's
life does not depend on who else is in its cohort. All draws are made on the CPU, hence are the same on every device.
"""

from __future__ import annotations

import hashlib

import numpy as np


def published(seed: int) -> np.random.RandomState:
    """Stream of the published simulations; draw the class order first, then the gates of each gated layer."""
    return np.random.RandomState(seed)


def own(seed: int, chance: int) -> int:
    """Seed of the streams of an animal's own chance; with another ``chance`` than 0 it lives another life.

    What the experimenter decides (:func:`published`) does not depend on it.
    """
    return seed if chance == 0 else stream_seed(seed, f"chance {chance}")


def stream_seed(seed: int, name: str) -> int:
    """Seed (63 bits) of the independent stream ``name`` of animal ``seed``."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def stream(seed: int, name: str) -> np.random.Generator:
    """Independent stream ``name`` of animal ``seed`` (e.g. ``"code/replayed"``), the same on every machine."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, name)))
