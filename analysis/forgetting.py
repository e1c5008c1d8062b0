r"""Forgetting: what is left of earlier contexts when later ones have been learned.

All measures start from the accuracy :math:`a_{k,j}` on context *j* after *k* contexts (row 0 is the naive animal),
under a rule of which answers compete. Left to itself (``answers=None``) a measure takes the rule that fits the
scenario: in the task scenario ``within_context``, in the domain scenario ``all``; in the class scenario ``all`` for
the final accuracy, ``up_to_learned`` for the curve over contexts met so far, and ``up_to_tested`` for everything that
compares accuracies at different times.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from replaysim.errors import DataError, check_choice

DIMS = ("animal", "contexts_learned", "context")
RULES = {
    "task": {"final": "within_context", "curve": "within_context", "change": "within_context"},
    "domain": {"final": "all", "curve": "all", "change": "all"},
    "class": {"final": "all", "curve": "up_to_learned", "change": "up_to_tested"},
}


def retention_matrix(log: xr.DataTree | xr.Dataset, answers: str | None = None, *, use: str = "change") -> xr.DataArray:
    """Accuracy on every context after every number of learned contexts.

    Parameters
    ----------
    log
        A log, or its group ``/behaviour``.
    answers
        Which readout units competed; default: see the module.
    use
        What the accuracy is for where ``answers`` is left out: ``"final"``, ``"curve"`` or ``"change"``.

    Returns
    -------
    xarray.DataArray
        (animal, contexts_learned, context), fraction of right decisions.

    Raises
    ------
    DataError
        Where there is no such accuracy in the log.
    """
    behaviour = log["behaviour"].to_dataset() if isinstance(log, xr.DataTree) and "behaviour" in log.children else log
    if not isinstance(behaviour, xr.Dataset) or "accuracy" not in behaviour:
        raise DataError("this log has no variable /behaviour/accuracy: is it a log of replaysim?")
    accuracy = behaviour["accuracy"]
    missing = {*DIMS, "answers"} - set(accuracy.dims)
    if missing:
        raise DataError(f"/behaviour/accuracy has no dimension {sorted(missing)}; it has {list(accuracy.dims)}")
    scenario = log.attrs.get("scenario", behaviour.attrs.get("scenario"))
    if answers is None:
        check_choice("log", "scenario", scenario, RULES)
        answers = RULES[str(scenario)][use]
    check_choice("retention_matrix", "answers", answers, [str(a) for a in accuracy["answers"].values])
    chosen = accuracy.sel(answers=answers).transpose(*DIMS).astype(np.float64)
    return chosen.assign_attrs(accuracy.attrs, scenario=scenario)


def _named(values: xr.DataArray, name: str, long_name: str) -> xr.DataArray:
    kept = {k: v for k, v in values.attrs.items() if k == "scenario"} | {"answers": str(values["answers"].values)}
    return values.drop_vars("answers").rename(name).assign_attrs(kept, long_name=long_name, units="1")


def chance_level(log: xr.DataTree, answers: str | None = None) -> float:
    """Final accuracy of guessing, mean over contexts."""
    final = retention_matrix(log, answers, use="final")
    level = log["behaviour"]["chance"].sel(answers=final["answers"]).isel(contexts_learned=-1)
    return float(level.mean("context"))


def final_accuracy(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy at the end, :math:`\tfrac1T \sum_j a_{T,j}`; (animal)."""
    final = _end(_finished(retention_matrix(log, answers, use="final"))).mean("context")
    return _named(final, "final_accuracy", "accuracy after all contexts, mean over contexts")


def average_accuracy(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy on the contexts met so far, :math:`\tfrac1k \sum_{j \le k} a_{k,j}`; (animal, contexts_learned)."""
    matrix = retention_matrix(log, answers, use="curve").isel(contexts_learned=slice(1, None))
    met = matrix.where(matrix["context"] <= matrix["contexts_learned"])
    return _named(met.mean("context"), "average_accuracy", "accuracy, mean over contexts met so far")


def learning_accuracy(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy on every context just after it was learned, :math:`\tfrac1T \sum_j a_{j,j}`; (animal)."""
    return _named(
        _just_learned(_finished(retention_matrix(log, answers))).mean("context"),
        "learning_accuracy",
        "accuracy when just learned",
    )


def _finished(matrix: xr.DataArray) -> xr.DataArray:
    learned, contexts = int(matrix["contexts_learned"].max()), matrix.sizes["context"]
    if learned < contexts:
        raise DataError(
            f"this simulation is not finished: {learned} of {contexts} contexts were learned; take average_accuracy()"
        )
    return matrix


def _just_learned(matrix: xr.DataArray) -> xr.DataArray:
    return matrix.sel(contexts_learned=matrix["context"]).drop_vars("contexts_learned")


def _end(matrix: xr.DataArray) -> xr.DataArray:
    return matrix.isel(contexts_learned=-1, drop=True)


def _at_least_two(matrix: xr.DataArray, measure: str) -> None:
    if matrix.sizes["context"] < 2 or matrix.sizes["contexts_learned"] < 3:
        raise DataError(
            f"{measure} needs at least two learned contexts; the log has {matrix.sizes['contexts_learned'] - 1}"
        )
    _finished(matrix)


def forgetting(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Best earlier accuracy minus the final one, mean over all contexts but the last; (animal).

    .. math:: F = \tfrac{1}{T-1} \sum_{j<T} \bigl( \max_{1 \le l < T} a_{l,j} - a_{T,j} \bigr)

    From -1 to 1. Source: Chaudhry et al. (2018), ECCV.
    """
    matrix = retention_matrix(log, answers)
    _at_least_two(matrix, "forgetting")
    best = matrix.isel(contexts_learned=slice(1, -1)).max("contexts_learned")
    lost = (best - _end(matrix)).isel(context=slice(0, -1)).mean("context")
    return _named(lost, "forgetting", "best earlier accuracy minus final accuracy, mean over contexts")


def backward_transfer(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Final accuracy minus that when just learned, :math:`\tfrac{1}{T-1} \sum_{j<T} (a_{T,j} - a_{j,j})`; (animal).

    Source: Lopez-Paz & Ranzato (2017), NeurIPS (their code divides by T).
    """
    matrix = retention_matrix(log, answers)
    _at_least_two(matrix, "backward transfer")
    change = (_end(matrix) - _just_learned(matrix)).isel(context=slice(0, -1)).mean("context")
    return _named(change, "backward_transfer", "final accuracy minus accuracy when just learned, mean over contexts")


def forward_transfer(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy just before a context is learned, over that of the naive animal; (animal).

    .. math:: \tfrac{1}{T-1} \sum_{j>1} (a_{j-1,j} - a_{0,j})

    Source: Lopez-Paz & Ranzato (2017), NeurIPS (their code divides by T).
    """
    matrix = retention_matrix(log, answers)
    _at_least_two(matrix, "forward transfer")
    later = matrix["context"][1:]
    before = matrix.sel(context=later, contexts_learned=later - 1)
    naive = matrix.sel(context=later).isel(contexts_learned=0)
    gain = (before.drop_vars("contexts_learned") - naive.drop_vars("contexts_learned")).mean("context")
    return _named(gain, "forward_transfer", "accuracy before learning minus naive accuracy, mean over contexts")


def retention(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy by age of the memory, :math:`r(m) = \tfrac{1}{T-m} \sum_j a_{j+m,j}`; (animal, age).

    The coordinate ``n_contexts`` says how many contexts an age averages: old memories are few.
    """
    matrix = _finished(retention_matrix(log, answers))
    n = matrix.sizes["context"]
    rows = []
    for age in range(n):
        tested = matrix["context"][: n - age]
        rows.append(
            matrix.sel(context=tested, contexts_learned=tested + age).drop_vars("contexts_learned").mean("context")
        )
    ages = xr.Variable("age", np.arange(n), {"long_name": "contexts learned since", "units": "1"})
    joined = xr.concat(rows, ages, coords="minimal", compat="override").transpose("animal", "age")
    joined = joined.assign_coords(n_contexts=("age", n - np.arange(n)))
    return _named(joined, "retention", "accuracy, mean over contexts of this age")
