"""The paper's arms as tables: what each brain is, which mechanism it has, and where every number comes from.

Unless said otherwise, numbers are those of the published code of van de Ven, Siegelmann & Tolias (2020), Nature
Communications 11:4069. They were chosen there with one animal (11) on the test stimuli; results are reported for
other animals. Arms that end in ``_frozen`` are the protocol of a later paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .brain import BrainPlan
from .brains import brain_inspired, classifier, generative_pair
from .consolidation import ConsolidationRule, SynapticIntelligence
from .context_gating import ContextGating
from .elastic import ElasticWeightConsolidation, OnlineElasticWeightConsolidation
from .learning import Learning
from .permuted import PermutedMNIST
from .protocol import AbstractProtocol, SplitCIFAR100, SplitMNIST
from .replay import CurrentInputReplay, ExactReplay, GenerativeReplay

CODE = "published code of van de Ven, Siegelmann & Tolias (2020)"
_LATER = (
    "van de Ven, Tuytelaars & Tolias (2022), Nature Machine Intelligence 4:1185: early areas frozen for all methods"
)
LATER, LATER_DOMAIN = f"{_LATER}; strengths as in 2020", f"{_LATER}; strengths as in the class scenario of 2020"
LATER_CODE = "not in the paper: divisor of the code divergence as in the code of van de Ven, Tuytelaars & Tolias (2022)"
UNSCALED = (
    "not in the paper: distillation loss without the factor of the squared temperature, as in Li & Hoiem (2017), IEEE "
    "TPAMI 40:2935"
)
NOT_SHOWN = f"{CODE}: its value, but the paper does not show this arm for this protocol"
NOT_IN_THE_PAPER = f"not in the paper; the {CODE} falls back to the values of the class scenario"

SPLIT_MNIST = Learning(steps=2000, batch=128, rate=1e-3)
"""Steps per context, batch size and learning rate of Split MNIST in the paper."""
PERMUTED_MNIST = Learning(steps=2000, batch=256, rate=1e-4)
"""The same for permuted MNIST."""
SPLIT_CIFAR100 = Learning(steps=5000, batch=256, rate=1e-4)
"""The same for Split CIFAR-100."""
WIDE = (2000, 2000)
"""Units of the association areas in permuted MNIST and Split CIFAR-100; Split MNIST has 400 in each."""
N_CONTEXTS = {"split_mnist": 5, "permuted_mnist": 100, "split_cifar100": 10}
"""Contexts of each protocol in the paper."""
FRAMES: dict[str, tuple[Callable[..., AbstractProtocol], Learning, dict[str, Any]]] = {
    "split_mnist": (SplitMNIST, SPLIT_MNIST, {}),
    "permuted_mnist": (PermutedMNIST, PERMUTED_MNIST, {"units": WIDE}),
    "split_cifar100": (SplitCIFAR100, SPLIT_CIFAR100, {"units": WIDE}),
}
"""Protocol to what makes it, how its animals learn, and what all its brains have in common."""
SCENARIOS = {
    "split_mnist": ("task", "domain", "class"),
    "permuted_mnist": ("domain",),
    "split_cifar100": ("task", "domain", "class"),
}


@dataclass(frozen=True)
class Numbers:
    r"""What the paper chose for one protocol and scenario.

    Attributes
    ----------
    ewc, online_ewc
        Strengths :math:`\lambda`.
    si
        Strength *c* of synaptic intelligence.
    closed
        Share of units that a gate of the feedback pathway closes; 0: no gates.
    xdg
        Share of units of the cortex that a context silences.
    with_si
        ``closed`` and *c* of brain-inspired replay with synaptic intelligence.
    """

    ewc: float
    si: float
    closed: float
    xdg: float | None = None
    online_ewc: float | None = None
    with_si: tuple[float, float] | None = None


_MNIST, _CIFAR = Numbers(1e5, 0.1, 0.8), Numbers(1.0, 1.0, 0.7, with_si=(0.6, 1e8))
NUMBERS: dict[tuple[str, str], Numbers] = {
    ("split_mnist", "task"): Numbers(1e9, 10.0, 0.8, xdg=0.9),
    ("split_mnist", "domain"): _MNIST,  # not in the paper: those of the class scenario
    ("split_mnist", "class"): _MNIST,
    ("permuted_mnist", "domain"): Numbers(1.0, 10.0, 0.8, online_ewc=1.0, with_si=(0.8, 1.0)),
    ("split_cifar100", "task"): Numbers(1000.0, 100.0, 0.0, xdg=0.7),
    ("split_cifar100", "domain"): Numbers(1.0, 1.0, 0.7),  # not in the paper: those of the class scenario
    ("split_cifar100", "class"): _CIFAR,
}
LATER_BUDGET = 100  # stimuli of every class that the paper of 2022 stores
LATER_DIVISOR = 1024  # units of early_5; the published code divides by the 3072 elements of a photograph
OLD_GAIN = "uniform"
"""Initial gains of the normalisation in the feedback to the retina, of the library with which the paper was made."""
PAIR, BRAIN = "gr", "brain_inspired"
SOFT: Mapping[str, Any] = {"replay": GenerativeReplay(targets="soft", temperature=2.0)}
HARD: Mapping[str, Any] = {"replay": GenerativeReplay(targets="hard")}


@dataclass(frozen=True)
class Preset:
    """One arm of the paper.

    Attributes
    ----------
    name
        ``protocol/scenario/arm``.
    about
        One line: what it is, with its numbers.
    protocol
        Makes the protocol.
    brain
        Makes the plan of the brain from the protocol.
    learning
        Steps, batch size, learning rate.
    mechanisms
        What :func:`~replaysim.simulate` gets beside these.
    source
        Where the numbers come from.
    """

    name: str
    about: str
    protocol: Callable[..., AbstractProtocol]
    brain: Callable[..., BrainPlan]
    learning: Learning
    mechanisms: Mapping[str, Any] = field(default_factory=dict)
    source: str = CODE

    @property
    def sees_photographs(self) -> bool:
        """Whether the brain has early visual areas."""
        return self.name.startswith("split_cifar100/")

    @property
    def is_permuted(self) -> bool:
        """Whether contexts are other arrangements of the same classes, so that there can be any number of them."""
        return self.name.startswith("permuted_mnist/")


def preset(
    protocol: str,
    scenario: str,
    arm: str,
    about: str,
    brain: Callable[..., BrainPlan],
    mechanisms: Mapping[str, Any] | None = None,
    source: str = CODE,
    **settings: Any,
) -> Preset:
    """An arm within the frame of its protocol; ``settings`` go to the maker of the brain."""
    make, learning, common = FRAMES[protocol]
    if scenario not in ("task", "class") and protocol != "permuted_mnist":
        kept = {LATER: LATER_DOMAIN, LATER_CODE: LATER_CODE, UNSCALED: UNSCALED}
        source = kept.get(source, NOT_IN_THE_PAPER)
    return Preset(
        f"{protocol}/{scenario}/{arm}",
        about,
        partial(make, n_contexts=N_CONTEXTS[protocol], scenario=scenario),
        partial(brain, **common, **settings),
        learning,
        {} if mechanisms is None else mechanisms,
        source,
    )


def _synaptic(numbers: Numbers) -> dict[str, tuple[str, ConsolidationRule]]:
    """Rules that make synapses stiff."""
    found: dict[str, tuple[str, ConsolidationRule]] = {
        "ewc": (
            f"elastic weight consolidation, lambda = {numbers.ewc:g}",
            ElasticWeightConsolidation(numbers.ewc),
        ),
        "si": (f"synaptic intelligence, c = {numbers.si:g}", SynapticIntelligence(numbers.si)),
    }
    if numbers.online_ewc is not None:
        found["online_ewc"] = (
            f"online elastic weight consolidation, lambda = {numbers.online_ewc:g}, gamma = 1",
            OnlineElasticWeightConsolidation(numbers.online_ewc, gamma=1.0),
        )
    return found


def _classifiers(protocol: str, scenario: str, suffix: str = "", **settings: Any) -> list[Preset]:
    """Arms without hippocampus and feedback."""
    source = LATER if suffix else CODE

    def arm(name: str, about: str, mechanisms: Mapping[str, Any], source: str = source, **more: Any) -> Preset:
        words = f"plain classifier, {about}{_early(protocol, settings.get('early', 'plastic'))}"
        own = {**settings, **more}
        return preset(protocol, scenario, name + suffix, words, classifier, mechanisms, source, **own)

    numbers = NUMBERS[protocol, scenario]
    found = [
        arm("nothing", "no mechanism", {}),
        arm("joint", "trials of all contexts so far", {"experience": "joint"}),
        *(arm(name, about, {"consolidation": rule}) for name, (about, rule) in _synaptic(numbers).items()),
    ]
    if numbers.xdg is not None:
        about = f"each context silences {numbers.xdg:g} of the cortex (XdG)"
        shown = LATER if suffix else NOT_SHOWN if protocol == "split_cifar100" else CODE
        found.append(arm("xdg", about, {}, shown, context_gating=ContextGating(numbers.xdg)))
    found.append(
        arm("lwf", "current stimuli judged by the earlier self, soft targets (LwF)", {"replay": CurrentInputReplay()})
    )
    if suffix or protocol == "split_mnist":  # which factor made the numbers of 2022?
        about = "LwF without the factor of the squared temperature"
        replay = CurrentInputReplay(distillation_weight=1.0)
        found.append(arm("lwf_unscaled", about, {"replay": replay}, UNSCALED))
    if suffix:  # the paper of 2020 stores nothing
        about = f"{LATER_BUDGET} stored stimuli of every class met again, hard targets (experience replay)"
        found.append(arm("exact_replay", about, {"replay": ExactReplay(budget=LATER_BUDGET, targets="hard")}))
    return found


def _early(protocol: str, early: str) -> str:
    return f"; early areas {early}" if protocol == "split_cifar100" else ""


def _pair(protocol: str, scenario: str) -> list[Preset]:
    about = "classic generative replay: stand-alone hippocampus, hard targets"
    own = {"descending_gain": OLD_GAIN} if protocol == "split_cifar100" else {}
    found = [preset(protocol, scenario, PAIR, about + _early(protocol, "plastic"), generative_pair, HARD, **own)]
    if protocol == "split_cifar100":  # what did the paper of 2022 replay: photographs, or activity, with which divisor?
        words = f"{about}, memories of photographs{_early(protocol, 'frozen')}"
        found.append(
            preset(
                protocol, scenario, f"{PAIR}_retina_frozen", words, generative_pair, HARD, LATER, early="frozen", **own
            )
        )
        about += f", memories of early_5{_early(protocol, 'frozen')}"
        inner: dict[str, Any] = {"early": "frozen", "reentry": "early_5"}
        words = f"{about}, code divergence over {LATER_DIVISOR}"
        later = {**inner, "divergence_divisor": LATER_DIVISOR}
        found += [
            preset(protocol, scenario, f"{PAIR}_frozen", about, generative_pair, HARD, LATER, **inner),
            preset(
                protocol, scenario, f"{PAIR}_{LATER_DIVISOR}_frozen", words, generative_pair, HARD, LATER_CODE, **later
            ),
        ]
    return found


def _inspired(protocol: str, scenario: str) -> list[Preset]:
    """Brain-inspired replay, alone and with stiff synapses."""
    numbers = NUMBERS[protocol, scenario]
    by = {"gates_by": "context"} if protocol == "permuted_mnist" else {}
    where = "; early areas frozen, memories of early_5" if protocol == "split_cifar100" else ""

    def arm(
        name: str,
        closed: float,
        extra: str = "",
        rule: ConsolidationRule | None = None,
        source: str = CODE,
        replay: GenerativeReplay = SOFT["replay"],
        **more: Any,
    ) -> Preset:
        gates = f"gates by {by.get('gates_by', 'class')} closed {closed:g}" if closed else "no gates (closed 0)"
        whole = f"replay through feedback, class modes, {gates}, soft targets{where}"
        about = f"{BRAIN}, {gates}{extra}" if extra else whole
        mechanisms = {"replay": replay} | ({} if rule is None else {"consolidation": rule})
        return preset(protocol, scenario, name, about, brain_inspired, mechanisms, source, closed=closed, **by, **more)

    found = [arm(BRAIN, numbers.closed, source=NOT_SHOWN if protocol == "split_mnist" else CODE)]
    if numbers.with_si is not None:
        closed, c = numbers.with_si
        found.append(arm(f"{BRAIN}_si", closed, f", synaptic intelligence, c = {c:g}", SynapticIntelligence(c)))
    if protocol == "split_cifar100":  # which divisor makes the published numbers?
        words = f", code divergence over {LATER_DIVISOR}"
        later: dict[str, Any] = {"divergence_divisor": LATER_DIVISOR}
        found.append(arm(f"{BRAIN}_{LATER_DIVISOR}", numbers.closed, words, None, LATER_CODE, **later))
        unscaled = GenerativeReplay(targets="soft", distillation_weight=1.0)
        more = f", distillation without the factor of the squared temperature{words}"
        found.append(arm(f"{BRAIN}_unscaled_{LATER_DIVISOR}", numbers.closed, more, None, UNSCALED, unscaled, **later))
        if numbers.with_si is not None:
            words = f", synaptic intelligence, c = {c:g}{words}"
            found.append(
                arm(f"{BRAIN}_si_{LATER_DIVISOR}", closed, words, SynapticIntelligence(c), LATER_CODE, **later)
            )
    if scenario == "task" and numbers.closed:
        slip = ", with the published code's slip in the gates of current trials"
        found.append(arm(f"{BRAIN}_faithful", numbers.closed, slip, faithful=True))
    elif protocol == "permuted_mnist":
        slip = ", replaying through the new context's gates, too (code of 2020)"
        found.append(arm(f"{BRAIN}_faithful", numbers.closed, slip, faithful=True))
        if numbers.with_si is not None:
            closed, c = numbers.with_si
            words, stiff = f", synaptic intelligence, c = {c:g}{slip}", SynapticIntelligence(c)
            found.append(arm(f"{BRAIN}_si_faithful", closed, words, stiff, faithful=True))
    return found


def arms(protocol: str, scenario: str) -> list[Preset]:
    """All arms of one protocol and scenario but the lesions."""
    found = [*_classifiers(protocol, scenario), *_pair(protocol, scenario), *_inspired(protocol, scenario)]
    if protocol == "split_cifar100":
        found += _classifiers(protocol, scenario, "_frozen", early="frozen")
    return found
