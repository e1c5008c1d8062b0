"""Activity of areas that stand still, evoked by every stimulus once and kept.

Where early areas are frozen, a stimulus evokes the same activity there on every trial and in every animal. What the
first simulation of a study computes, the following ones find again.
"""

from __future__ import annotations

import copy
import hashlib

import numpy as np
import torch

from .arithmetic import exact_arithmetic
from .cortex import RETINA
from .early_areas import EarlyAreas
from .errors import DataError, check_choice, check_number
from .retina import Light, adapt
from .tensor_files import fingerprint
from .visual_cortex import VisualCortex

STIMULI_AT_ONCE = 500
BYTES_KEPT = 2**30  # e.g. four times early_5 with 50 000 and 10 000 photographs
_kept: dict[tuple[object, ...], np.ndarray] = {}  # the last used last


def keep(
    stimuli: np.ndarray,
    cortex: VisualCortex | EarlyAreas,
    light: Light | None = None,
    scale: float = 1.0,
    area: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> np.ndarray:
    """Activity of an early area, with standing statistics, evoked by all stimuli.

    The same stimuli, values of the early areas and settings give the array of the earlier call, as long as it is among
    the last gigabyte used. Stimuli and areas are compared by what they hold: one may be changed or read anew.

    Parameters
    ----------
    stimuli
        (stimulus, channel, row, column) or (stimulus, element), as stored.
    cortex
        Whose early areas; neither its mode nor its statistics change.
    light
        What the retina is adapted to; None: intensities reach the cortex as they are.
    scale
        Stored value that stands for intensity 1.
    area
        Any early area, or the retina; default: the highest early area.
    device, dtype
        Where and how precisely to compute.
    progress
        Show a progress bar.

    Returns
    -------
    np.ndarray
        (stimulus, unit), arbitrary units, in the order channel, row, column; read-only.

    Raises
    ------
    SettingError
        If there is no such area, or the scale is not positive.
    DataError
        If the stimuli do not fit the retina, or evoke activity that is not finite.
    """
    areas = cortex.early if isinstance(cortex, VisualCortex) else cortex
    area = areas.top if area is None else area
    check_choice("keep", "area", area, areas.areas)
    check_number("keep", "scale", scale, above=0)
    shape = areas.shapes[RETINA]
    if stimuli.shape[1:] not in (shape, (areas.sizes[RETINA],)):
        raise DataError(
            f"keep: stimuli have shape {stimuli.shape}, must be (stimulus, {', '.join(map(str, shape))}) "
            f"or (stimulus, {areas.sizes[RETINA]})"
        )
    key = (_of_stimuli(stimuli), fingerprint(areas.state_dict()), light, float(scale), area, str(device), dtype)
    found = _kept.pop(key, None)
    if found is None:
        found = _evoked(stimuli, areas, light, scale, area, torch.device(device), dtype, progress)
        found.flags.writeable = False
    _kept[key] = found
    while sum(array.nbytes for array in _kept.values()) > BYTES_KEPT:
        del _kept[next(iter(_kept))]
    return found


def forget() -> None:
    """Give the memory back that kept activity takes."""
    _kept.clear()


def _of_stimuli(stimuli: np.ndarray) -> str:
    """SHA-256 of what the array holds, block by block: it may be a view that is scattered in memory."""
    digest = hashlib.sha256(f"{stimuli.shape} {stimuli.dtype.str}".encode())
    for first in range(0, len(stimuli), STIMULI_AT_ONCE):
        digest.update(stimuli[first : first + STIMULI_AT_ONCE].tobytes())
    return digest.hexdigest()


@torch.no_grad()
def _evoked(
    stimuli: np.ndarray,
    areas: EarlyAreas,
    light: Light | None,
    scale: float,
    area: str,
    device: torch.device,
    dtype: torch.dtype,
    progress: bool,
) -> np.ndarray:
    from tqdm import tqdm

    still = copy.deepcopy(areas).to(device, dtype)
    still.critical_period = "closed"
    activity = torch.empty(len(stimuli), areas.sizes[area], dtype=dtype).numpy()
    bar = tqdm(total=len(stimuli), desc=f"activity of {area}", unit="stimulus", disable=not progress, leave=False)
    with bar, exact_arithmetic():
        for first in range(0, len(stimuli), STIMULI_AT_ONCE):
            block = slice(first, first + STIMULI_AT_ONCE)
            alike = np.array(stimuli[block], order="C")  # some CPUs sum in another order in another memory layout
            seen = torch.from_numpy(alike).to(device, dtype) / scale
            seen = seen.reshape(len(seen), *areas.shapes[RETINA])
            seen = seen if light is None else adapt(seen, light)
            activity[block] = still(seen, stop=area)[area].flatten(1).cpu().numpy()
            bar.update(len(seen))
    if not np.isfinite(activity).all():
        raise DataError(f"keep: activity of {area} is not finite; do the stimuli hold NaN?")
    return activity
