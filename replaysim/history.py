"""The history of a log: who began it, and who went on with it, a line for every time."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any


def times(attrs: Mapping[Any, Any]) -> int:
    """How many times a log was begun or gone on with, as far as the attributes of one of its files know."""
    return len(str(attrs.get("history", "")).splitlines())


def gone_on(attrs: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a log that is gone on with: begun when it was, by whoever began it, with a line for every time.

    Parameters
    ----------
    attrs
        Of this process, see :func:`replaysim.provenance.provenance`.
    earlier
        Of the last one that wrote to the log.

    Warns
    -----
    UserWarning
        Where the code, or the version of torch, is another one.
    """
    if not earlier:
        return dict(attrs)
    kept = {name: earlier[name] for name in ("date_created", "id") if name in earlier}
    lines = [str(one["history"]) for one in (earlier, attrs) if "history" in one]
    pairs = {
        "commit": [str(one.get("software_git_commit", "unknown"))[:12] for one in (earlier, attrs)],
        "torch": [_torch_of(one) for one in (earlier, attrs)],
    }
    other = [f"{what} {before} goes on with {now}" for what, (before, now) in pairs.items() if before != now]
    if other:
        warnings.warn(f"simulate: a log of {', and of '.join(other)} (history in the log)", stacklevel=3)
    return {**attrs, **kept, "history": "\n".join(lines)}


def _torch_of(attrs: Mapping[str, Any]) -> str:
    try:
        return str(json.loads(str(attrs.get("software_versions"))).get("torch"))
    except (ValueError, AttributeError):
        return "unknown"
