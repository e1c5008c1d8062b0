"""The page of results, in words: what studies left as tables and figures, below the protocols of the paper.

``studies/results.py`` copies them from ``docs/results`` and ``docs/figures``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from replaysim.errors import LogError

from .origins import BEGINNING

KEPT = {
    "Growing losses": (
        "losses_*.txt",
        "What synaptic intelligence does to the losses of brain-inspired replay on Split CIFAR-100.",
    ),
    "Digits": (
        "digits_*_animals_*.txt",
        "Ten animals; first the class scenario, then the task scenario. Settings were tuned on held-out training "
        "stimuli of animals 0-9 (`python studies/tune_digits.py`; trials in `docs/results/digits_tuning.csv`). "
        "Intervals are Student's t, p counts flips of signs: near their borders the two may disagree.",
    ),
    "Geometry of replay": ("geometry_*.txt", "What is kept of waking geometry, in the cortex and in replay; digits."),
    "Quality of replay": (
        "quality_*.txt",
        "Precision and diversity of replay, and what every ingredient adds; digits, class scenario. Compare with the "
        "line of real stimuli: nearer to it is better, and values beyond it (precision and density here, with a "
        "recall of 0.01) say that replay keeps to the middle of its classes. The inception score lies between 1 and "
        "10. The log-likelihood takes Gaussian noise of variance 1 in every unit, although these brains learned with "
        "Bernoulli units, so that codes weigh more than pixels: it does not rank replay. The paper's own figure, on "
        "Split CIFAR-100, has not been made yet.",
    ),
    "Lesions": (
        "lesions_*.txt",
        "Counterpart of Figure 8 of the paper, on the digits, class scenario: brain-inspired replay without one "
        "ingredient or with only one. Steps and rate are those tuned for brain-inspired replay and joint training, so "
        "that classic replay may be undertrained here (on Split MNIST, with the paper's settings, it reaches 91 %). "
        "With six animals and four corrected comparisons no p can be below 0.125: go by the intervals. The paper's "
        "own, on Split CIFAR-100 and permuted MNIST, has not been made yet.",
    ),
    "Amount of replay": (
        "amount_*.txt",
        "Counterpart of Figure 4 of the paper, on the digits, class scenario: how many memories, from how large a "
        "hippocampus, while the brain goes on or with synapses drawn anew before every context. `nothing` and `joint` "
        "are plain classifiers here, and brain-inspired replay in the second table, and panel b of the figure, has "
        "its hippocampus beside the cortex, so that its size can differ. Steps and rate are those tuned for "
        "brain-inspired replay and joint training: classic replay may be undertrained. The paper's own, on Split "
        "MNIST, has not been made yet.",
    ),
    "A second implementation": (
        "second_*.txt",
        "Brain-inspired replay of Split CIFAR-100 in the class scenario, the short run of 100 steps per context with "
        "the class order of animal 12 and the paper's early areas, in plain torch, which shares nothing with the "
        "simulation: to be compared with our lives of `brain_inspired` there, and with 19.1 % of the published code, "
        "run once.",
    ),
    "Speed": (
        "speed*.txt",
        "Rates beside that at which the same thread, or GPU, multiplies matrices of the same precision meanwhile. The "
        "least time is that of all products at this rate, or of all synapses through memory (read forward and backward "
        "and by the earlier self, gradient, optimiser) at the rate of copies, whichever is longer; activity counts "
        "nothing.",
    ),
    "What a life costs": (
        "cost*.txt",
        "Time of a step, mean over contexts, and what that makes of a life of the paper's length; lives of noise, one "
        "worker, nothing else on the machine. Beside the steps: tests, activity of frozen early areas, the information "
        "of EWC. This processor has no AVX-512, and takes longer for a step than that of the section above.",
    ),
}
"""Title of a section, and the files with a command in the first line and, below, what it printed."""
SIX = "Animals 12 to 17; drawn by "
PICTURES: Mapping[str, Mapping[str, str]] = {
    "Split MNIST": {
        "methods_split_mnist_class.png": "Class scenario.",
        "methods_split_mnist_task.png": "Task scenario.",
        "methods_split_mnist_domain.png": "Domain scenario.",
    },
    "Permuted MNIST": {"methods_permuted_mnist_domain.png": "One animal."},
    "Split CIFAR-100": {
        "methods_split_cifar100_class.png": "Class scenario, the paper's early areas, which are frozen in arms with "
        "replay within the cortex (as in the paper) and in those that end in `frozen`.",
        "methods_split_cifar100_task.png": "Task scenario, the paper's early areas.",
        "methods_split_cifar100_domain.png": "Domain scenario, the paper's early areas, one animal.",
    },
    "Digits": {"synaptic_vs_systems_digits_class.png": f"{SIX}`studies/synaptic_vs_systems.py` of the README."},
    "Geometry of replay": {"geometry_of_replay_digits_class.png": f"{SIX}`studies/geometry_of_replay.py`."},
    "Quality of replay": {"quality_of_replay_digits.png": f"{SIX}`studies/quality_of_replay.py`."},
    "Lesions": {"lesions_digits_class.png": f"{SIX}`studies/lesions.py`."},
    "Amount of replay": {"amount_of_replay_digits_class.png": f"{SIX}`studies/amount_of_replay.py`."},
}
"""Title of a section to its figures, in ``docs/figures``, and their captions; those that begin with ``methods_`` are
drawn from the summaries by ``studies/results.py --figures``, the others by the study that made the numbers."""
NOT_EVERYWHERE = ("Growing losses", "Lesions", "Amount of replay", "A second implementation", "What a life costs")
"""Sections that are left out as long as there is no file."""


STRENGTHS = "EWC, λ", "online EWC, λ", "SI, c", "gates closed", "XdG", "with SI: gates closed", "with SI: c"
"""Columns of numbers that the paper chose."""


def pictures(title: str) -> list[str]:
    """The figures of a section, with their captions."""
    shown = PICTURES.get(title, {}).items()
    return [line for name, words in shown for line in (f"![{title}. {words}](figures/{name})", "", f"*{words}*", "")]


def printed(folder: Path, title: str) -> str:
    """A section of tables as studies printed them."""
    pattern, about = KEPT[title]
    paths = sorted(folder.glob(pattern))
    if not paths and title in NOT_EVERYWHERE:
        return ""
    if not paths:
        raise LogError(f"no summary {folder / pattern}: run the study first and keep what it prints, below its command")
    parts = [f"## {title}", ""] + ([about, ""] if about else []) + pictures(title)
    for path in paths:
        lines = path.read_text(encoding="utf-8").strip("\n").splitlines()
        command = [f"`{lines.pop(0)}`"] if lines and lines[0].startswith("python ") else []
        origins = [line for line in lines if line.startswith(BEGINNING)]
        table = "\n".join(line for line in lines if not line.startswith(BEGINNING)).strip("\n")
        command += [] if origins else ["(no provenance kept)"]
        parts += [" ".join(command), ""] if command else []
        parts += ["```text", table, "```", "", *([*origins, ""] if origins else [])]
    return "\n".join(parts)


def arms(title: str, about: Mapping[str, str], strengths: Mapping[str, Sequence[float | None]]) -> str:
    """The section that says what the arms are.

    Parameters
    ----------
    title
        Of the section.
    about
        Name of an arm to what it is.
    strengths
        Protocol and scenario to the numbers of :data:`STRENGTHS`; None: there is none.
    """
    head = "protocol, scenario", *STRENGTHS
    rows = [[name, *("–" if x is None else f"{x:g}" for x in own)] for name, own in strengths.items()]
    return "\n".join(
        [
            f"## {title}",
            "",
            "With the numbers of one protocol and scenario each (those of all: `replaysim run --list`):",
            "",
            *(f"- `{arm}`: {words}" for arm, words in sorted(about.items())),
            "",
            "Published beside these, but no arms of ours: streaming linear discriminant analysis and a generative "
            "classifier (2021), iCaRL and separate networks (2022).",
            "",
            "Strengths and shares of the paper; it does not have the domain scenario of split protocols, where they "
            "are those of the class scenario:",
            "",
            f"| {' | '.join(head)} |",
            "|" + "---|" * len(head),
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
        ]
    )
