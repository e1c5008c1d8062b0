"""One thread for every test: the machines that run them have few cores, and numbers must not depend on their number."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")

# Names that are bound when they are first asked for must not be bound to what a test has put in their place meanwhile.
import replaysim
from replaysim import conditions, portions, presets  # noqa: F401

assert replaysim.simulate and replaysim.simulate_once
