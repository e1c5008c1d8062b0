"""The schema of a log: groups, variables, dimensions and units in one table; logs are checked and documented from it.

A simulation writes the groups that its electrodes recorded. A log may hold further variables in these groups, described
in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import LogError

if TYPE_CHECKING:
    import xarray as xr

VERSION = "1.0"
"""Version of the schema, root attribute ``replaysim_schema``. The first number changes when readers must change."""

PIECES = re.compile(r"behaviour|learning|gates|(cortex|replay|synapses)/\d{4}")
"""Names of the pieces in which a log grows; the number counts finished contexts."""

ROOT_ATTRIBUTES = (
    "Conventions",
    "title",
    "summary",
    "id",
    "source",
    "history",
    "date_created",
    "license",
    "references",
    "replaysim_schema",
    "software_versions",
    "software_git_commit",
    "software_git_dirty",
    "hardware",
    "config_json",
    "config_sha256",
    "command",
    "seeds",
    "scenario",
    "status",
)
"""Provenance at the root of every file."""


@dataclass(frozen=True)
class Dimension:
    """A dimension, and the coordinate of the same name.

    Attributes
    ----------
    name, kind, meaning
        ``kind`` is that of the coordinate: ``"integer"``, ``"float"`` or ``"text"``.
    labelled
        Whether the coordinate must be there; dimensions that only count need none.
    """

    name: str
    kind: str
    meaning: str
    labelled: bool = True


@dataclass(frozen=True)
class Quantity:
    """A variable of a log.

    Attributes
    ----------
    group
        Where it is; ``*`` stands for a name, e.g. of an area.
    name, dims, kind, meaning, units
        ``kind`` is ``"float"`` (float32), ``"integer"`` (int8, int16 or int32, -1 = missing) or ``"text"``.
    optional
        Whether the group may do without it.
    static
        A dimension that is left out where the quantity does not change along it.
    """

    group: str
    name: str
    dims: tuple[str, ...]
    kind: str
    meaning: str
    units: str = "1"
    optional: bool = False
    static: str = ""

    def shapes(self) -> tuple[tuple[str, ...], ...]:
        """Admissible tuples of dimensions."""
        fixed = tuple(d for d in self.dims if d != self.static)
        return (self.dims,) if fixed == self.dims else (self.dims, fixed)


DIMENSIONS = {
    d.name: d
    for d in (
        Dimension("animal", "integer", "seed of all chance in this animal's life"),
        Dimension("answers", "text", "readout units that competed: within_context, up_to_learned, up_to_tested, all"),
        Dimension("contexts_learned", "integer", "finished contexts, 0 = naive; in /replay: the context being learned"),
        Dimension("context", "integer", "context in the order of learning, 1 = first"),
        Dimension("class", "integer", "position in the animal's own class order, 0 = first", labelled=False),
        Dimension("step", "integer", "number of the weight update, 1 = first"),
        Dimension("component", "text", "part of the loss"),
        Dimension("probe_step", "integer", "weight updates done when accuracy was probed"),
        Dimension("probed_context", "integer", "context that was probed, 1 = first"),
        Dimension("snapshot", "integer", "number of the snapshot, 0 = naive"),
        Dimension("stimulus", "integer", "index of the stimulus in the test set"),
        Dimension("unit", "integer", "unit of the area or layer", labelled=False),
        Dimension("code_unit", "integer", "unit of the hippocampal code", labelled=False),
        Dimension("mode", "integer", "memory mode: position of its class", labelled=False),
        Dimension("event", "integer", "replay event within a context", labelled=False),
        Dimension("quantile", "float", "fraction of the pathway's synapses below the value"),
        Dimension("gate", "integer", "gate: position of its class, or its context", labelled=False),
    )
}


def _quantities(group: str, *rows: tuple[str, str, str, str], **common: str) -> Iterator[Quantity]:
    """Rows (name, dims, kind, meaning) of a group; ``?`` after the name: optional, ``[dim]``: may be left out."""
    for name, dims, kind, meaning in rows:
        static = re.search(r"\[(\w+)\]", dims)
        yield Quantity(
            group,
            name.rstrip("?"),
            tuple(re.findall(r"\w+", dims)),
            kind,
            meaning,
            common.get(name.rstrip("?"), "1"),
            optional=name.endswith("?"),
            static=static[1] if static else "",
        )


_SNAPSHOT = (
    ("contexts_learned", "snapshot", "integer", "finished contexts at the snapshot, 0 = naive"),
    ("step", "snapshot", "integer", "weight updates done at the snapshot"),
    ("original_class", "stimulus", "integer", "class of the stimulus in the data set"),
    ("context", "animal stimulus", "integer", "context to which the stimulus belongs for this animal"),
)
_EVENT = "animal contexts_learned event"
_PATHWAY = "animal contexts_learned"

SCHEMA: tuple[Quantity, ...] = (
    *_quantities(
        "/behaviour",
        ("accuracy", "animal answers contexts_learned context", "float", "fraction of right decisions"),
        ("chance", "answers contexts_learned context", "float", "accuracy of guessing among the competing answers"),
        ("n_train", "animal context", "integer", "training stimuli of the context"),
        ("n_test", "animal context", "integer", "test stimuli of the context"),
        ("class_identity", "animal class", "integer", "original class at this position of the animal's order"),
    ),
    *_quantities(
        "/learning",
        ("loss", "animal step component", "float", "part of the loss, mean over the batch, before the update"),
        ("context", "step", "integer", "context that is being learned"),
        (
            "accuracy_probe?",
            "animal probe_step answers probed_context",
            "float",
            "fraction of right decisions while learning",
        ),
        loss="nat",
    ),
    *_quantities(
        "/reentry",
        (
            "similarity_to_last",
            "animal contexts_learned",
            "float",
            "similarity of the re-entry area's activity to that one context before (correlation over units)",
        ),
        (
            "similarity_to_first",
            "animal contexts_learned",
            "float",
            "similarity of the re-entry area's activity to that after the first context",
        ),
        ("mean_square_activity", "animal contexts_learned", "float", "mean square activity of the re-entry area"),
    ),
    *_quantities("/cortex", *_SNAPSHOT),
    *_quantities(
        "/cortex/*",
        ("activity", "animal [snapshot] stimulus unit", "float", "activity evoked by the stimulus"),
    ),
    *_quantities(
        "/hippocampus",
        *_SNAPSHOT,
        ("code_mean", "animal snapshot stimulus code_unit", "float", "mean of the stimulus' code"),
        ("code_log_variance", "animal snapshot stimulus code_unit", "float", "log variance of the stimulus' code"),
        ("mode_mean?", "animal snapshot mode code_unit", "float", "mean of the memory mode"),
        ("mode_log_variance?", "animal snapshot mode code_unit", "float", "log variance of the memory mode"),
    ),
    *_quantities(
        "/replay",
        ("code?", f"{_EVENT} code_unit", "float", "code that was drawn"),
        ("activity", f"{_EVENT} unit", "float", "re-created activity at the re-entry area"),
        ("target?", f"{_EVENT} class", "float", "what the earlier self made of it: probability of each answer"),
        ("cued_class", _EVENT, "integer", "class that was asked for, -1 = none"),
        ("cued_context", _EVENT, "integer", "context that was asked for, -1 = none"),
        ("decision", _EVENT, "integer", "decision of the earlier self, -1 = missing"),
        ("step", _EVENT, "integer", "weight update at which it was replayed"),
    ),
    *_quantities(
        "/synapses/*",
        ("importance?", f"{_PATHWAY} quantile", "float", "importance of the synapses, quantiles over the pathway"),
        ("importance_sum?", _PATHWAY, "float", "importance, sum over the pathway"),
        ("change", f"{_PATHWAY} quantile", "float", "size of the change since the last context, quantiles"),
        ("change_sum", _PATHWAY, "float", "size of the change since the last context, sum over the pathway"),
    ),
    *_quantities(
        "/gates/*", ("open", "animal gate unit", "integer", "whether the gate leaves the unit open (1) or not (0)")
    ),
)

_KINDS = {"f": "float", "i": "integer", "u": "integer", "b": "integer", "U": "text", "O": "text", "T": "text"}
_GROUPS = tuple(dict.fromkeys(q.group for q in SCHEMA))
_PARENTS = ("/", "/synapses", "/gates")


def pattern_of(group: str) -> str:
    """Entry of the table for a group: ``"/cortex/association_1"`` gives ``"/cortex/*"``; "" where there is none."""
    if group in (*_GROUPS, *_PARENTS):
        return group
    general = f"{group.rpartition('/')[0]}/*"
    return general if general in _GROUPS and group.count("/") == 2 else ""


def validate(tree: xr.DataTree) -> None:
    """Check groups, dimensions, kinds of numbers, units and long names of a log, or of a piece of one.

    Raises
    ------
    LogError
        Names the first variable that does not follow the schema.
    """
    for node in tree.subtree:
        if not pattern_of(node.path):
            raise LogError(f"{node.path}: not a group of a replaysim log, must be one of {', '.join(_GROUPS)}")
    for node in tree.subtree:
        pattern = pattern_of(node.path)
        dataset = node.to_dataset()
        if pattern in _PARENTS and dataset.variables:
            raise LogError(f"{node.path}/{next(iter(dataset.variables))}: {node.path} holds no variables, only groups")
        expected = {q.name: q for q in SCHEMA if q.group == pattern}
        for name, variable in dataset.variables.items():
            _check_variable(f"{node.path}/{name}", str(name), variable, expected, dataset)
        for quantity in expected.values():
            if not quantity.optional and quantity.name not in dataset.variables:
                raise LogError(f"{node.path}/{quantity.name}: missing; it is {quantity.meaning}, {quantity.dims}")


def _check_variable(
    where: str, name: str, variable: xr.Variable, expected: dict[str, Quantity], dataset: xr.Dataset
) -> None:
    dims = tuple(str(d) for d in variable.dims)
    for dim in dims:
        if dim not in DIMENSIONS:
            raise LogError(f"{where}: dimension {dim!r} is not of the schema, must be one of {', '.join(DIMENSIONS)}")
        if DIMENSIONS[dim].labelled and dim not in dataset.coords:
            raise LogError(f"{where}: its dimension {dim!r} has no coordinate, which is {DIMENSIONS[dim].meaning}")
    kind = _KINDS.get(variable.dtype.kind, str(variable.dtype))
    quantity = expected.get(name)
    if dims == (name,):
        quantity = None
        if kind != DIMENSIONS[name].kind:
            raise LogError(f"{where}: is {kind}, must be {DIMENSIONS[name].kind}")
    for attribute in ("long_name", "units"):
        value = variable.attrs.get(attribute)
        if not isinstance(value, str) or not value:
            raise LogError(
                f"{where}: has no {attribute}" + (' ("1" where there is no unit)' if attribute == "units" else "")
            )
    if quantity is None:
        return
    if dims not in quantity.shapes():
        raise LogError(f"{where}: dims are ({', '.join(dims)}), must be ({', '.join(quantity.dims)})")
    if kind != quantity.kind:
        raise LogError(f"{where}: is {kind}, must be {quantity.kind}")
    if variable.attrs["units"] != quantity.units:
        raise LogError(f"{where}: units are {variable.attrs['units']!r}, must be {quantity.units!r}")


def as_markdown() -> str:
    """The table of variables and that of dimensions, for the documentation."""
    lines = ["| group | variable | units | meaning |", "|---|---|---|---|"]
    before = ""
    for q in SCHEMA:
        dims = ", ".join(f"[{d}]" if d == q.static else d for d in q.dims)
        group = "" if q.group == before else f"`{q.group.replace('*', 'NAME')}`"
        mark = " (where recorded)" if q.optional else ""
        lines.append(f"| {group} | `{q.name}({dims})` | {q.units} | {q.meaning}{mark} |")
        before = q.group
    lines += ["", "| dimension | coordinate | meaning |", "|---|---|---|"]
    lines += [f"| `{d.name}` | {d.kind if d.labelled else 'counts'} | {d.meaning} |" for d in DIMENSIONS.values()]
    return "\n".join(lines)
