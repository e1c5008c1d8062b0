"""Does replay preserve waking geometry, and does synaptic consolidation change it?

Question
    Stimuli that a brain tells apart have distant representations, and the matrix of these distances is the geometry of
    what it knows. Do replayed memories have the geometry of waking experience, also when they are old? And what is left
    in the cortex of the geometry of the first context when later ones have been learned: with replay, with synaptic
    intelligence, with both, with neither? Matched brains, as in ``synaptic_vs_systems.py``.
Expected
    Replayed class means lie where waking ones lie, also when memories are old; within a class, replay varies less.
    Synaptic intelligence keeps the geometry of old stimuli (it keeps synapses where they are) although their
    classes are no longer chosen; replay lets it change and keeps its classes decodable. Digits, seen: replay keeps it
    nearly as well (correlation 0.86; synaptic intelligence 0.89, no protection 0.26; 6 animals).
Run time
    Digits (default, 6 animals): one to two minutes on 2 cores. Split MNIST at the paper's settings: not run,
    estimated from the paper's arms at 2 hours.
Hardware
    Any.

A condition that is complete in the output folder is not simulated again, and on MNIST one that was stopped goes on
from its last whole context; ``--overwrite`` begins anew. Other animals than the usual ones have a folder of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from replaysim.commandline import run_study
from replaysim.options import SCENARIO, MatchedOptions

if TYPE_CHECKING:
    import xarray as xr

    from replaysim.presets import Matched

AREA = "association_2"

NAME = "geometry_of_replay"


@dataclass(frozen=True)
class Settings(MatchedOptions):
    """Does replay preserve waking geometry, and does synaptic consolidation change it?"""

    scenario: Literal["task", "domain", "class"] = field(default="class", metadata={"help": SCENARIO})

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        words = [self.protocol, self.scenario, *self.others, *(["quick"] if self.quick else [])]
        return self.out or Path("runs") / "geometry_of_replay" / "_".join(words)


def simulate_all(setup: Matched, settings: Settings) -> dict[str, xr.DataTree]:
    """The log of every condition, simulated where it is not complete."""
    import replaysim as rs
    from replaysim.conditions import simulate_each

    wanted = {}
    for name, mechanisms in setup.mechanisms().items():
        record: list[Any] = [rs.CorticalActivity("retina", AREA, stimuli=200)]
        if "replay" in mechanisms:
            record.append(rs.ReplayActivity(events=100 if settings.quick else 400))
        wanted[name] = {"record": record, **mechanisms}
    return simulate_each(
        wanted,
        out=settings.folder,
        overwrite=settings.overwrite,
        brain=setup.brain(),
        protocol=setup.protocol,
        animals=settings.animals,
        learning=setup.learning,
        device=settings.device,
        workers=settings.workers,
        checkpoints=settings.protocol != "digits",  # whose conditions take seconds
    )


def survivors(logs: Mapping[str, xr.DataTree]) -> Mapping[str, xr.DataTree]:
    """The logs with those animals that lived to the end in every condition: they are compared with each other."""
    from analysis import readings
    from replaysim.errors import LogError

    dead = sorted({animal for log in logs.values() for animal in readings.faulty(log)})
    if not dead:
        return logs
    print(f"left out, losses became infinite: animals {', '.join(map(str, dead))}", flush=True)
    if set(next(iter(logs.values()))["behaviour"].to_dataset()["animal"].values.tolist()) <= set(dead):
        raise LogError("no animal lived to the end in every condition; take other animals")
    return {name: readings.without(log, dead) for name, log in logs.items()}


def cortical_measures(logs: Mapping[str, xr.DataTree]) -> dict[str, xr.Dataset]:
    """What became of the geometry in the highest area, for every condition; (animal)."""
    import xarray as xr

    from analysis import decoding, forgetting, rdm_comparison, readings, retained_geometry, rsa

    activity = {name: readings.activity(log, AREA) for name, log in logs.items()}
    final = {name: rsa.rdm(one.isel(snapshot=-1, drop=True)) for name, one in activity.items()}
    between = rdm_comparison.second_order(final["joint"], over="animal")
    others = between.where(between["animal"] != between["other_animal"]).mean("other_animal")
    found = {}
    for name, log in logs.items():
        retained = retained_geometry.retained_geometry(activity[name])
        decoded = decoding.cross_context_decoding(activity[name])
        found[name] = xr.Dataset(
            {
                "accuracy": forgetting.final_accuracy(log),
                "retained": retained,
                "kept": retained.isel(snapshot=1, other_snapshot=-1, drop=True),
                "decoded": decoded,
                "decodable": decoded.isel(snapshot=-1, other_snapshot=-1, drop=True),
                "naive": retained.isel(snapshot=0, other_snapshot=-1, drop=True),
                "like_joint": others if name == "joint" else rdm_comparison.compare_rdms(final[name], final["joint"]),
            }
        )
    return found


def cortical_table(found: Mapping[str, xr.Dataset], chance: float) -> str:
    """Mean and standard error over animals, conditions in lines."""
    from analysis.terminal import mean_and_error

    columns = {
        "accuracy": ("final", "accuracy, %", 100),
        "decodable": ("decodable", "(linear), %", 100),
        "kept": ("context 1", "geometry kept", 1),
        "naive": ("the same", "from naive", 1),
        "like_joint": ("geometry", "like joint's", 1),
    }
    head = [f"{'':10s}" + "".join(f"{words[i]:>18s}" for words in columns.values()) for i in (0, 1)]
    lines = [*head, "-" * len(head[0])]
    naive = next(iter(found.values()))["decoded"].isel(snapshot=0, other_snapshot=0)
    for name, values in found.items():
        cells = []
        for measure, (_, _, scale) in columns.items():
            cells.append(mean_and_error(values[measure], scale=scale, digits=1 if scale == 100 else 2, width=11))
        lines.append(f"{name:10s}" + "".join(cells))
    n = naive.sizes["animal"]
    return "\n".join(
        [
            *lines,
            "-" * len(head[0]),
            f"{'naive':10s}{'':18s}{mean_and_error(naive, width=11)}",
            f"{'chance':10s}{100 * chance:11.1f}{'':7s}{100 * chance:11.1f}",
            f"mean ± standard error over {n} animals; {AREA}, 200 test stimuli. decodable: by a readout trained on",
            "other stimuli at the end. geometry: Spearman correlation of matrices of 1 - r between stimuli: those of",
            "context 1 when just learned and at the end; in the naive animal and at the end; all stimuli at the end",
            "and the same animal's after joint training (joint: those of other animals after joint training)",
        ]
    )


def replay_measures(logs: Mapping[str, xr.DataTree]) -> dict[str, xr.Dataset]:
    """Replayed against waking geometry, and variance within classes, where something was replayed."""
    from analysis import replay_statistics, replayed_geometry

    found = {}
    for name, log in logs.items():
        if "replay" in log.children and log.attrs["scenario"] != "domain":  # there no event names a class
            found[name] = replayed_geometry.replay_against_waking(log)
            found[name]["variance_ratio"] = replay_statistics.replayed_prototypes(log)["variance_ratio"]
    return found


def replay_table(found: Mapping[str, xr.Dataset]) -> str:
    """Correlation of replayed with waking class means by memory age, and of their RDMs, between ceiling and floor."""
    from analysis.terminal import mean_and_error

    def cell(values: xr.DataArray) -> str:
        return mean_and_error(values, scale=1, digits=3, width=9)

    def cells(values: xr.Dataset, prefix: str) -> str:
        ages = values[f"{prefix}prototype_correlation_by_age"].mean("contexts_learned")
        shown = [cell(ages.sel(memory_age=age)) for age in ages["memory_age"]]
        if f"{prefix}rdm_similarity" in values:
            shown.append(cell(values[f"{prefix}rdm_similarity"].isel(contexts_learned=-1)))
        return "".join(shown)

    first = next(iter(found.values()))
    words = [*(f"age {int(m)}" for m in first["memory_age"]), "RDM, last", "variance"]
    head = f"{'':16s}" + "".join(f"{word:>17s}" for word in words)
    lines = [head, "-" * len(head)]
    for name, values in found.items():
        variance = values["variance_ratio"].mean([d for d in values["variance_ratio"].dims if d != "animal"])
        lines.append(f"{name:16s}{cells(values, '')}{cell(variance)}")
    lines.append(f"{'waking halves':16s}{cells(first, 'reference_')}")
    lines += [f"{'other classes':16s}{cells(first, 'mismatched_')}", "-" * len(head)]
    lines += [
        "correlation of replayed with waking class means at the re-entry area (retina) by contexts since learned;",
        "Spearman correlation of their RDMs in the last context; variance within a class, replayed over waking.",
        "waking halves: the same of two halves of the stimuli, each with half as many, so noisier;",
        "other classes: replayed with waking means of other classes",
    ]
    return "\n".join(lines)


def draw(
    logs: Mapping[str, xr.DataTree],
    cortical: Mapping[str, xr.Dataset],
    replay: Mapping[str, xr.Dataset],
    stem: Path,
    *,
    world: str,
) -> list[Path]:
    """What is kept, what is replayed, which readouts still work; and RDMs of all conditions."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from analysis import figures_geometry, readings, rsa, style

    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(180 * style.MM, 128 * style.MM), layout="constrained")
        grid = figure.subplots(2, 2)
        kept = {
            name: one["retained"]
            .isel(snapshot=1, other_snapshot=slice(1, None))
            .rename(other_snapshot="contexts learned")
            for name, one in cortical.items()
        }
        figures_geometry.measure_over(
            kept, "contexts learned", grid[0, 0], label="geometry of context 1 kept (ρ)", limits=(None, 1.02)
        )
        for name, one in cortical.items():
            naive = one["retained"].isel(snapshot=0, other_snapshot=slice(1, None)).mean("animal")
            grid[0, 0].plot(naive["other_snapshot"].values, naive.values, color=style.colour(name, 0), ls=":", lw=0.8)
        beside = grid[0, 0].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        beside.set_in_layout(False)  # there is room, as the panels below have colour bars
        if not replay:
            grid[0, 1].set_axis_off()
        ages = {name: one["prototype_correlation_by_age"].mean("contexts_learned") for name, one in replay.items()}
        if replay:
            first = next(iter(replay.values())).mean("contexts_learned")
            figures_geometry.measure_over(
                ages,
                "memory_age",
                grid[0, 1],
                label="replayed with waking class mean (r)",
                reference=first["reference_prototype_correlation_by_age"],
                floor=first["mismatched_prototype_correlation_by_age"],
            )
            grid[0, 1].set(xlabel="memory age (contexts since learned)")
            grid[0, 1].legend(frameon=False)
        for ax, name in zip(grid[1], ("synaptic", "systems"), strict=True):
            figures_geometry.similarity_matrix(
                cortical[name]["decoded"], ax, label="accuracy of linear readout", title=name
            )
        for ax, letter in zip(grid.ravel(), "abcd", strict=True):
            ax.set_title(letter, loc="left", fontweight="bold")
        n = next(iter(cortical.values())).sizes["animal"]
        words = f"a, c, d: {AREA} (dotted: geometry of the naive animal); b: retina, waking: two halves of the stimuli"
        figure.suptitle(style.wrapped(f"{world}; {words}; mean ± s.e., thin: {n} animals", figure), fontsize=8)
    written = style.save(figure, stem)
    matrices = {}
    for name, log in logs.items():
        classes = rsa.rdm(readings.activity(log, AREA), by="original_class")
        matrices[name] = readings.in_learning_order(rsa.as_matrix(classes), log)
    borders = 2
    title = f"{world}: classes in the order of learning, {AREA}; mean of {n} animals"
    return written + style.save(
        figures_geometry.rdm_grid(matrices, borders=borders, title=title), stem.with_name("rdms")
    )


def make(settings: Settings) -> None:
    """Simulate every condition, measure, print the tables, draw the figures."""
    import xarray as xr

    from analysis.forgetting import chance_level
    from analysis.origins import heading, origin_lines
    from replaysim import presets
    from replaysim.study_folder import check_owner, keep_table

    check_owner(settings.folder, NAME)

    setup = presets.matched(settings.protocol, settings.scenario, quick=settings.quick)
    logs = survivors(simulate_all(setup, settings))
    cortical, replay = cortical_measures(logs), replay_measures(logs)
    world = f"{settings.protocol}, {settings.scenario} scenario{', QUICK: says nothing' if settings.quick else ''}"
    text = f"{heading(world, settings.animals)}\n\n{cortical_table(cortical, chance_level(logs['nothing']))}"
    text += f"\n\n{replay_table(replay)}" if replay else "\n\nIn the domain scenario no replay event names a class."
    text = "\n".join([text, "", *origin_lines(logs.values())])
    keep_table(settings.folder, NAME, text)
    kept = {f"/cortex/{name}": one for name, one in cortical.items()}
    kept |= {f"/replay/{name}": one for name, one in replay.items()}
    xr.DataTree.from_dict(kept).to_netcdf(settings.folder / "geometry.nc")
    saved = draw(logs, cortical, replay, settings.folder / "geometry", world=world)
    print("\nFigures:  " + "  ".join(str(path) for path in saved if path.suffix == ".png"))
    print(f"Measures: {settings.folder / 'geometry.nc'}   logs: {settings.folder}/*/run.nc   (xarray.open_datatree)")


def main(settings: Settings) -> None:
    """:func:`make`, with analyses on the device of the simulations."""
    from analysis.devices import automatic

    with automatic(settings.device):
        make(settings)


if __name__ == "__main__":
    run_study(main, Settings)
