r"""Forgetting: what is left of earlier contexts when later ones have been learned.

All measures start from the accuracy :math:`a_{k,j}` on context *j* after *k* contexts (row 0 is the naive animal),
under a rule of which answers compete. Left to itself (``answers=None``) a measure takes the rule that fits the
scenario: in the task scenario ``within_context``, in the domain scenario ``all``; in the class scenario ``all`` for
the final accuracy, ``up_to_learned`` for the curve over contexts met so far, and ``up_to_tested`` for everything that
compares accuracies at different times.

An animal whose losses became infinite did not live to the end: a measure that asks for the end is NaN for it, whatever
it had learned before.
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
    behaviour = behaviour_of(log)
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


def behaviour_of(log: xr.DataTree | xr.Dataset) -> xr.Dataset:
    """The group ``/behaviour`` of a log, or the dataset itself; it must hold accuracies."""
    if not isinstance(log, xr.DataTree | xr.Dataset):
        raise DataError(f"a log is an xarray.DataTree, see replaysim.open_log(); got {type(log).__name__}")
    behaviour = log["behaviour"].to_dataset() if isinstance(log, xr.DataTree) and "behaviour" in log.children else log
    if not isinstance(behaviour, xr.Dataset) or "accuracy" not in behaviour:
        raise DataError("this log has no variable /behaviour/accuracy: is it a log of replaysim?")
    return behaviour


def named(values: xr.DataArray, name: str, long_name: str) -> xr.DataArray:
    """A measure with its names, and the rule of answers as an attribute."""
    kept = {k: v for k, v in values.attrs.items() if k == "scenario"} | {"answers": str(values["answers"].values)}
    return values.drop_vars("answers").rename(name).assign_attrs(kept, long_name=long_name, units="1")


def chance_level(log: xr.DataTree, answers: str | None = None) -> float:
    """Final accuracy of guessing, mean over contexts."""
    final = retention_matrix(log, answers, use="final")
    behaviour = behaviour_of(log)
    if "chance" not in behaviour:
        raise DataError("this log has no variable /behaviour/chance: is it a log of replaysim?")
    level = behaviour["chance"].sel(answers=final["answers"]).isel(contexts_learned=-1)
    return float(level.mean("context"))


def final_accuracy(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy at the end, :math:`\tfrac1T \sum_j a_{T,j}`; (animal)."""
    final = _end(whole(log, answers, "final")).mean("context")
    return named(final, "final_accuracy", "accuracy after all contexts, mean over contexts")


def average_accuracy(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy on the contexts met so far, :math:`\tfrac1k \sum_{j \le k} a_{k,j}`; (animal, contexts_learned)."""
    matrix = retention_matrix(log, answers, use="curve").isel(contexts_learned=slice(1, None))
    met = matrix.where(matrix["context"] <= matrix["contexts_learned"])
    return named(met.mean("context"), "average_accuracy", "accuracy, mean over contexts met so far")


def learning_accuracy(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy on every context just after it was learned, :math:`\tfrac1T \sum_j a_{j,j}`; (animal)."""
    return named(
        just_learned(whole(log, answers)).mean("context"),
        "learning_accuracy",
        "accuracy when just learned",
    )


def is_finished(log: xr.DataTree) -> bool:
    """Whether all contexts were learned."""
    matrix = retention_matrix(log)
    return int(matrix["contexts_learned"].max()) >= matrix.sizes["context"]


def survivors(log: xr.DataTree) -> list[int]:
    """Animals that have an accuracy after all contexts: not those whose losses became infinite."""
    if not is_finished(log):
        return []
    final = final_accuracy(log)
    return [int(animal) for animal in final["animal"].values[final.notnull().values]]


def whole(log: xr.DataTree | xr.Dataset, answers: str | None, use: str = "change") -> xr.DataArray:
    """The retention matrix of a finished log; NaN for animals that did not live to the end, if need be for all."""
    matrix = retention_matrix(log, answers, use=use)
    learned, contexts = int(matrix["contexts_learned"].max()), matrix.sizes["context"]
    lived = ~matrix["animal"].isin(np.atleast_1d(log.attrs.get("animals_with_faults", -1)))
    if learned < contexts:
        if lived.any():
            raise DataError(
                f"this simulation is not finished: {learned} of {contexts} contexts were learned; take "
                "average_accuracy(), or retention_matrix() for every context"
            )
        matrix = matrix.reindex(contexts_learned=np.arange(contexts + 1))
    return matrix.where(lived & _end(matrix).notnull().any("context"))


def just_learned(matrix: xr.DataArray) -> xr.DataArray:
    """Accuracy on every context when it had just been learned, (animal, context)."""
    return matrix.sel(contexts_learned=matrix["context"]).drop_vars("contexts_learned")


def _end(matrix: xr.DataArray) -> xr.DataArray:
    return matrix.isel(contexts_learned=-1, drop=True)


def _whole_of_two(log: xr.DataTree | xr.Dataset, answers: str | None, measure: str) -> xr.DataArray:
    """:func:`whole`, for measures that need two contexts."""
    matrix = retention_matrix(log, answers)
    if matrix.sizes["context"] < 2:
        raise DataError(f"{measure} needs at least two learned contexts; the log has {matrix.sizes['context']}")
    return whole(log, answers)


def forgetting(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Best earlier accuracy minus the final one, mean over all contexts but the last; (animal).

    .. math:: F = \tfrac{1}{T-1} \sum_{j<T} \bigl( \max_{1 \le l < T} a_{l,j} - a_{T,j} \bigr)

    From -1 to 1. Source: Chaudhry et al. (2018), ECCV. Left to itself (``answers=None``), a context of the class
    scenario competes with its own and earlier classes only, so that what is lost is not what newer classes win; with
    ``answers="all"`` this is the measure of that paper, and greater.
    """
    matrix = _whole_of_two(log, answers, "forgetting")
    best = matrix.isel(contexts_learned=slice(1, -1)).max("contexts_learned")
    lost = (best - _end(matrix)).isel(context=slice(0, -1)).mean("context")
    return named(lost, "forgetting", "best earlier accuracy minus final accuracy, mean over contexts")


def backward_transfer(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Final accuracy minus that when just learned, :math:`\tfrac{1}{T-1} \sum_{j<T} (a_{T,j} - a_{j,j})`; (animal).

    Source: Lopez-Paz & Ranzato (2017), NeurIPS (their code divides by T).
    """
    matrix = _whole_of_two(log, answers, "backward transfer")
    change = (_end(matrix) - just_learned(matrix)).isel(context=slice(0, -1)).mean("context")
    return named(change, "backward_transfer", "final accuracy minus accuracy when just learned, mean over contexts")


def forward_transfer(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy just before a context is learned, over that of the naive animal; (animal).

    .. math:: \tfrac{1}{T-1} \sum_{j>1} (a_{j-1,j} - a_{0,j})

    In the class scenario it is about minus the naive accuracy whatever the condition: classes that were never met are
    not chosen. It tells of transfer where a context is judged by itself
    (``answers="within_context"``) and in the other scenarios. Source: Lopez-Paz & Ranzato (2017), NeurIPS (their code
    divides by T).
    """
    matrix = _whole_of_two(log, answers, "forward transfer")
    later = matrix["context"][1:]
    before = matrix.sel(context=later, contexts_learned=later - 1)
    naive = matrix.sel(context=later).isel(contexts_learned=0)
    gain = (before.drop_vars("contexts_learned") - naive.drop_vars("contexts_learned")).mean("context")
    return named(gain, "forward_transfer", "accuracy before learning minus naive accuracy, mean over contexts")


def forgetting_curve(log: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Forgetting after every number of contexts from the second on; (animal, contexts_learned).

    .. math:: F_k = \tfrac{1}{k-1} \sum_{j<k} \bigl( \max_{1 \le l < k} a_{l,j} - a_{k,j} \bigr)

    Its last value is :func:`forgetting`; an unfinished simulation has the values up to where it is. Source: Chaudhry et
    al. (2018), ECCV.
    """
    matrix = retention_matrix(log, answers)
    if matrix.sizes["contexts_learned"] < 3:
        learned = matrix.sizes["contexts_learned"] - 1
        raise DataError(f"forgetting_curve needs at least two learned contexts; the log has {learned}")
    now = matrix.isel(contexts_learned=slice(2, None))
    best = now.copy(data=np.fmax.accumulate(matrix.values[:, 1:-1], axis=matrix.dims.index("contexts_learned")))
    lost = (best - now).where(now["context"] < now["contexts_learned"]).mean("context")
    return named(lost.assign_attrs(matrix.attrs), "forgetting", "forgetting, mean over earlier contexts")


def retention_by_context(log: xr.DataTree, answers: str | None = None, *, relative: bool = False) -> xr.DataArray:
    r"""Accuracy on every context by age of the memory, :math:`a_{j+m,j}`; (animal, context, age).

    Parameters
    ----------
    relative
        Divide by the accuracy :math:`a_{j,j}` when just learned. A context on which the animal was not above chance
        then left no memory to retain: NaN.

    Returns
    -------
    xarray.DataArray
        NaN beyond the end of the simulation, :math:`j + m > T`.
    """
    matrix = whole(log, answers)
    aged = _by_age(matrix)
    if relative:
        chance = behaviour_of(log).get("chance")
        first = just_learned(matrix)
        level = 0.0 * first if chance is None else just_learned(chance.sel(answers=matrix["answers"]))
        aged = aged / first.where(first > level)
    aged = aged.transpose("animal", "context", "age").assign_attrs(matrix.attrs, relative=int(relative))
    what = "accuracy over accuracy when just learned" if relative else "accuracy"
    return named(aged, "retention", what).assign_attrs(relative=int(relative))


def _by_age(matrix: xr.DataArray) -> xr.DataArray:
    """(..., contexts_learned, context) as (..., context, age), NaN beyond the end."""
    n = matrix.sizes["context"]
    ages = xr.Variable("age", np.arange(n), {"long_name": "contexts learned since", "units": "1"})
    row = matrix["context"] + xr.DataArray(ages, coords={"age": ages})
    return matrix.sel(contexts_learned=row.clip(max=n)).drop_vars("contexts_learned").where(row <= n)


def retention(log: xr.DataTree, answers: str | None = None, *, relative: bool = False) -> xr.DataArray:
    r"""Accuracy by age of the memory, :math:`r(m) = \tfrac{1}{T-m} \sum_j a_{j+m,j}`; (animal, age).

    With ``relative``, the mean of :math:`a_{j+m,j} / a_{j,j}` over the contexts that were learned above chance. The
    coordinate ``n_contexts`` says how many contexts an age averages (at most): old memories are few, and are those of
    the first contexts. So ages differ in contexts, too; and where a context competes with its own and earlier classes
    only, as in the class scenario by default, in what guessing gives: the coordinate ``chance`` (without ``relative``)
    is the accuracy of guessing at that age. ``answers="all"`` has the same chance at every age.
    """
    by_context = retention_by_context(log, answers, relative=relative)
    n = by_context.sizes["context"]
    joined = by_context.mean("context", keep_attrs=True).assign_coords(n_contexts=("age", n - np.arange(n)))
    chance = behaviour_of(log).get("chance")
    if chance is not None and not relative:
        levels = chance.sel(answers=by_context.attrs["answers"], drop=True).reindex(contexts_learned=range(n + 1))
        level = _by_age(levels).mean("context")
        about = {"long_name": "accuracy of guessing", "units": "1"}
        joined = joined.assign_coords(chance=("age", level.values, about))
    return joined.assign_attrs(long_name=f"{by_context.attrs['long_name']}, mean over contexts of this age")
