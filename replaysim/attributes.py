"""Attributes of a log: what netCDF can hold, and what comes back from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import SettingError

_KINDS = "text, a number, or a list of one of these; encode_attributes() makes JSON text of anything else"
_RESERVED = {
    "_Encoding",
    "_FillValue",
    "_Unsigned",
    "add_offset",
    "coordinates",
    "dtype",
    "missing_value",
    "scale_factor",
}


def check_attributes(attrs: Mapping[str, object]) -> None:
    """Refuse attributes that no netCDF file can hold, before anything is computed.

    Parameters
    ----------
    attrs
        Names to values: text, numbers, or lists of one of these. Not None, bool, dict, nor empty or mixed lists.

    Raises
    ------
    SettingError
        Names the attribute.
    """
    stored_attributes(attrs)


def encode_attributes(attrs: Mapping[str, object]) -> dict[str, Any]:
    """Attributes in which everything that netCDF cannot hold has become JSON text."""
    encoded = {}
    for name, value in attrs.items():
        try:
            _stored(name, value)
            encoded[name] = value
        except SettingError:
            try:
                encoded[name] = json.dumps(value, sort_keys=True, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise SettingError("attributes", name, value, f"something that JSON can say ({error})") from None
    check_attributes(encoded)
    return encoded


def stored_attributes(attrs: Mapping[str, object]) -> dict[str, Any]:
    """Attributes as they come back from a file: numbers are of numpy, a list of one value is that value."""
    for name in attrs:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in _RESERVED:
            raise SettingError("attributes", "name", name, "letters, digits and _, and no name that netCDF reserves")
    return {name: _stored(name, value) for name, value in attrs.items()}


def _stored(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, np.ndarray):
        value = list(value) if value.ndim else value[()]
    values = list(value) if isinstance(value, list | tuple) else [value]
    if len(values) == 1 and values[0] is not value:
        return _stored(name, values[0])
    if values and all(isinstance(v, str) for v in values):
        return [str(v) for v in values]
    plain = [v.item() if isinstance(v, np.generic) else v for v in values]
    if not plain or any(isinstance(v, bool) or not isinstance(v, int | float) for v in plain):
        raise SettingError("attributes", name, value, _KINDS)
    try:
        return _number(np.asarray(value))
    except (OverflowError, ValueError):
        raise SettingError("attributes", name, value, "a number that fits into 64 bits") from None


def _number(array: np.ndarray) -> Any:
    if array.dtype.kind == "O":
        raise ValueError
    if array.dtype.kind == "u" or array.dtype == np.int64:
        array = whole(array)
    elif array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    return array[()] if array.ndim == 0 else array


def whole(array: np.ndarray) -> np.ndarray:
    """Whole numbers as int32, or as int64 where they do not fit."""
    if array.size and (int(array.max()) > np.iinfo(np.int64).max):
        raise OverflowError("a whole number needs more than 64 bits")
    small = np.iinfo(np.int32)
    fits = not array.size or (int(array.min()) >= small.min and int(array.max()) <= small.max)
    return array.astype(np.int32 if fits else np.int64)
