"""One thread for every test: the machines that run them have few cores, and numbers must not depend on their number."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")
