"""Forward passes, losses, gradients and weight updates of the brain, term by term (files 01, 02, 06, 07 and 13)."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from oracle import ANIMALS, TERMS, both, brain, closest, protocol, read, synapses

from replaysim import objectives
from replaysim.brain import Brain
from replaysim.cohort import Cohort
from replaysim.events import Cues, Events, Reactivation, ReplayRound
from replaysim.learning import COMPONENTS, Trials
from replaysim.memory_modes import MemoryModes
from replaysim.objectives import one_hot
from replaysim.replay import GenerativeReplay

DOUBLE = {"forward": 1e-10, "loss": 1e-10, "gradient": 1e-10, "after": 1e-10}
SINGLE = {"forward": 5e-6, "loss": 5e-6, "gradient": 1e-6, "after": 1e-5}
PRECISIONS = [(torch.float64, DOUBLE), (torch.float32, SINGLE)]


class Variant:
    """Three weight updates of a cohort of two identical animals, from stored batches, noise and earlier beliefs."""

    def __init__(self, name: str, dtype: torch.dtype = torch.float64) -> None:
        self.name, self.dtype = name, dtype
        self.mnist = name in ("soft", "hard", "task1")
        self.arrays = read("01_bir_mnist_class" if self.mnist else "02_bir_internal")
        self.soft, self.task = "hard" not in name, name.startswith("task_")
        self.protocol = protocol("task" if self.task else "class", classes=10, contexts=5)
        size = 784 if self.mnist else 12
        self.brain = brain(
            self.arrays,
            protocol("class", classes=10, contexts=5, size=size),
            divisor=784 if self.mnist else 3072,
            bernoulli=self.mnist,
            gated="nogate" not in name,
        )
        replay = GenerativeReplay("soft" if self.soft else "hard")
        brains = [copy.deepcopy(self.brain) for _ in range(ANIMALS)]
        self.cohort = Cohort(brains, rate=1e-3, replay=replay, dtype=dtype)
        self.current = torch.from_numpy(self.protocol.answers(self.protocol.rule, 2, 3))[None]
        self.row_context = torch.arange(2).repeat_interleave(4) if self.task else torch.full((8,), -1)

    def stimuli(self, name: str, step: int) -> np.ndarray:
        return self.arrays[name][step] / 255 if self.mnist else self.arrays[name][step]

    def trials(self, step: int) -> Trials:
        label = self.arrays["y_cur"][step]
        # the published slip: in the task scenario the gates of current trials are those of the label within it
        gate = label - 4 if self.task else label
        return Trials(
            both(self.stimuli("x_cur", step), self.dtype), both(label), both(gate), both(np.full_like(label, 2))
        )

    def answers(self, contexts: int) -> torch.Tensor:
        """Units that compete in replay: those of each row's context, or all of the contexts so far."""
        if self.task:
            rows = [self.protocol.answers("within_context", c, 2) for c in self.row_context.tolist()]
            return torch.from_numpy(np.stack(rows))
        return torch.from_numpy(self.protocol.answers("up_to_learned", 0, contexts))[None]

    def earlier(self, step: int) -> torch.Tensor:
        """Readout of the earlier self, (row, answer)."""
        logits = torch.zeros(8, 10, dtype=torch.float64)
        if self.task:
            for context in range(2):
                rows, units = slice(4 * context, 4 * context + 4), slice(2 * context, 2 * context + 2)
                logits[rows, units] = torch.from_numpy(self.arrays["teacher_logits_task"][step, context])
        else:
            name = "teacher_logits" if self.mnist else "teacher_logits_class"
            logits[:, :4] = torch.from_numpy(self.arrays[name][step])
        return logits

    def events(self, step: int) -> Events:
        logits = self.earlier(step)
        answers = self.answers(2)
        return Events(
            both(np.zeros((8, 5)), self.dtype),
            both(self.stimuli("x_rep", step), self.dtype),
            both(np.zeros(8, dtype=np.int64)),
            both(logits, self.dtype),
            both(objectives.belief(logits, answers, 2.0), self.dtype),
            both(objectives.competing(logits, answers).argmax(-1)),
            both(self.row_context),
        )

    def learn(self, step: int) -> torch.Tensor:
        noise = np.concatenate((self.arrays["eps_cur"][step], self.arrays["eps_rep"][step]))
        plan = ReplayRound(8, torch.arange(8), self.row_context, self.answers(2), self.answers(3), (8,))
        return self.cohort.learn(
            self.trials(step), self.current, both(noise, self.dtype), self.events(step), plan, share=1 / 3
        )

    def compare_losses(self, losses: torch.Tensor, step: int | None, tolerance: float) -> None:
        prefix = f"{self.name}.loss."
        terms = [key.removeprefix(prefix) for key in self.arrays if key.startswith(prefix)]
        assert len(terms) >= 4
        for term in terms:
            wanted = self.arrays[prefix + term]
            value = wanted if step is None else wanted[step]
            for animal in range(ANIMALS):
                closest(losses[animal, COMPONENTS.index(TERMS[term])], np.asarray(value), term, tolerance)

    def compare(self, prefix: str, tolerance: float, *, gradient: bool = False) -> None:
        wanted = synapses(self.arrays, f"{self.name}.{prefix}")
        assert len(wanted) >= 15
        for name, value in wanted.items():
            tensor = self.cohort.synapses[name]
            if gradient:
                assert tensor.grad is not None
                tensor = tensor.grad
            for animal in range(ANIMALS):
                closest(tensor[animal], value.numpy(), f"{prefix} {name}", tolerance)


VARIANTS = ["class_soft", "class_hard", "task_soft", "task_hard", "task_soft_nogate"]


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("name", ["soft", *VARIANTS])
def test_three_steps(name: str, dtype: torch.dtype, tolerance: dict[str, float]) -> None:
    variant = Variant(name, dtype)
    for step in range(3):
        variant.compare_losses(variant.learn(step), step, tolerance["loss"])
        if step == 0:
            variant.compare("grad", tolerance["gradient"], gradient=True)
            if name != "soft":
                variant.compare("after1", tolerance["after"])
    variant.compare("after3", tolerance["after"])


def test_hard_targets_of_stimuli() -> None:
    variant = Variant("hard")
    for step in range(3):
        assert variant.events(step).decision[1].tolist() == variant.arrays["y_rep_hard"][step].tolist()
    variant.compare_losses(variant.learn(0), None, 1e-10)
    variant.compare("grad", 1e-10, gradient=True)


@pytest.mark.parametrize("scenario", ["class", "task"])
def test_hard_targets_of_features(scenario: str) -> None:
    variant = Variant(f"{scenario}_hard")
    for step in range(3):
        found = variant.events(step).decision[1]
        if variant.task:
            found = (found - 2 * variant.row_context).reshape(2, 4)
        assert found.tolist() == variant.arrays[f"y_rep_{scenario}"][step].tolist()


def test_first_context_has_no_replay() -> None:
    variant = Variant("task1")
    label = variant.arrays["task1.y"]
    trials = Trials(both(variant.stimuli("x_cur", 0)), both(label), both(label), both(np.zeros_like(label)))
    answers = torch.from_numpy(variant.protocol.answers("up_to_learned", 0, 1))[None]
    losses = variant.cohort.learn(trials, answers, both(variant.arrays["eps_cur"][0]))
    variant.compare_losses(losses, None, 1e-10)


# --- activity of every layer


def evoke(own: Brain, stimulus: np.ndarray, noise: np.ndarray, gate_weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Everything that stimuli evoke on the way up and down, under the names of the files."""
    original = torch.from_numpy(stimulus)
    areas = own.perceive(original)
    code = own.encode(areas[own.top])
    z = code.sample(torch.from_numpy(noise))
    gates = None if own.gates is None else own.gates(gate_weight)
    drives: list[torch.Tensor] = []
    assert own.feedback is not None
    hooks = [
        own.feedback.get_submodule(f"layer_{i}").register_forward_hook(lambda _m, _given, out: drives.append(out))
        for i in (1, 2)
    ]
    drive = own.feedback(z, gates)
    for hook in hooks:
        hook.remove()
    opened = [d if gates is None else g * d for d, g in zip(drives, gates or drives, strict=True)]
    bernoulli = own.feedback.reconstruction == "bernoulli"
    loss = objectives.reconstruction_bernoulli if bernoulli else objectives.reconstruction_gaussian
    return {
        "enc1": areas["association_1"],
        "enc2": areas["association_2"],
        "dec1": torch.relu(opened[0]),
        "dec2": torch.relu(opened[1]),
        "logits": own.readout(areas[own.top]),
        "mu": code.mean,
        "logvar": code.log_variance,
        "z": z,
        "recon": own.feedback.activity(drive),
        "recon_per_sample": loss(drive, original),
        "log_q_per_sample": objectives.gaussian_log_density(z, code.mean, code.log_variance),
    }


def compare_forward(
    found: dict[str, torch.Tensor], arrays: dict[str, np.ndarray], prefix: str, log_prior: torch.Tensor
) -> None:
    found = found | {"log_p_per_sample": log_prior, "kl_per_sample": found["log_q_per_sample"] - log_prior}
    wanted = {name: arrays[f"{prefix}.{name}"] for name in found if f"{prefix}.{name}" in arrays}
    assert len(wanted) >= 12
    for name, value in wanted.items():
        closest(found[name], value, f"{prefix} {name}")


def compare_terms(
    variant: Variant, found: dict[str, torch.Tensor], log_prior: torch.Tensor, judged: list[torch.Tensor], batch: str
) -> None:
    """Means over a batch: reconstruction, divergence, classification and distillation."""
    divergence = (found["log_q_per_sample"] - log_prior) / variant.brain.plan.divergence_divisor
    means = [term.mean() for term in (found["recon_per_sample"], divergence, *judged)]
    closest(torch.stack(means), variant.arrays[f"{variant.name}.terms.{batch}"], f"terms of {batch}")


@torch.no_grad()
def test_activity_of_stimuli() -> None:
    variant = Variant("soft")
    own, arrays = variant.brain, variant.arrays
    assert own.modes is not None and own.gates is not None
    label = torch.from_numpy(arrays["y_cur"][0])
    choice = one_hot(label, 10, torch.float64)
    closest(choice, arrays["fwd.cur.onehot"], "gate weight of current trials")
    found = evoke(own, variant.stimuli("x_cur", 0), arrays["eps_cur"][0], choice)
    compare_forward(found, arrays, "fwd.cur", own.modes.log_density_of_class(found["z"], choice))
    belief = objectives.belief(variant.earlier(0), variant.answers(2), 2.0)
    closest(belief, arrays["fwd.rep.soft_targets"], "soft targets")
    closest(own.recreate(found["z"], belief), arrays["fwd.cur.recon_softgates"], "soft gates")
    found = evoke(own, variant.stimuli("x_rep", 0), arrays["eps_rep"][0], belief)
    compare_forward(found, arrays, "fwd.rep", own.modes.log_density(found["z"], belief))


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_activity_of_features(name: str) -> None:
    variant = Variant(name)
    own, arrays = variant.brain, variant.arrays
    assert own.modes is not None
    trials, events, nothing = variant.trials(0), variant.events(0), torch.zeros(1, dtype=torch.float64)
    target = one_hot(trials.target[0], 10, torch.float64)
    found = evoke(own, arrays["x_cur"][0], arrays["eps_cur"][0], one_hot(trials.gate[0], 10, torch.float64))
    log_prior = own.modes.log_density_of_class(found["z"], target)
    compare_forward(found, arrays, f"{name}.fwd.cur", log_prior)
    judged = objectives.classification(found["logits"], trials.target[0], variant.current)
    compare_terms(variant, found, log_prior, [judged, nothing], "cur")
    belief = events.soft_target[0] if variant.soft else one_hot(events.decision[0], 10, torch.float64)
    parts = {"rep_t1": slice(4), "rep_t2": slice(4, 8)} if variant.task else {"rep": slice(8)}
    for part, rows in parts.items():
        found = evoke(own, arrays["x_rep"][0][rows], arrays["eps_rep"][0][rows], belief[rows])
        log_prior = own.modes.log_density(found["z"], belief[rows])
        compare_forward(found, arrays, f"{name}.fwd.{part}", log_prior)
        answers = variant.answers(3)[rows]
        judged = objectives.distillation(found["logits"], belief[rows], answers, 2.0)
        if not variant.soft:
            judged = objectives.classification(found["logits"], events.decision[0][rows], answers)
        compare_terms(variant, found, log_prior, [nothing, judged] if variant.soft else [judged, nothing], part)


# --- distillation and memory modes alone


@pytest.mark.parametrize("temperature", [1, 2, 4])
@pytest.mark.parametrize("known", [4, 6])
def test_distillation(temperature: int, known: int) -> None:
    arrays = read("06_distillation")
    logits = torch.from_numpy(arrays["student_logits"]).requires_grad_()
    teacher = torch.zeros(7, 6, dtype=torch.float64)
    teacher[:, :known] = torch.from_numpy(arrays[f"teacher_logits_{known}"])
    target = objectives.belief(teacher, torch.arange(6) < known, temperature)
    answers = torch.ones(6, dtype=torch.bool)
    loss = objectives.distillation(logits, target, answers, temperature).mean()
    closest(loss, arrays[f"T{temperature}.teacher{known}.loss"], "loss")
    (slope,) = torch.autograd.grad(loss, logits)
    closest(slope, arrays[f"T{temperature}.teacher{known}.grad"], "gradient")
    for weight in (1.0, 0.3):
        loss = objectives.distillation(logits, target, answers, temperature, weight).mean()
        closest(loss, weight / temperature**2 * arrays[f"T{temperature}.teacher{known}.loss"], "weighted loss")


def modes_of(arrays: dict[str, np.ndarray], name: str, per_class: int) -> MemoryModes:
    mean = torch.from_numpy(arrays[f"{name}.prior.mean"])
    modes = MemoryModes(mean.shape[0] // per_class, mean.shape[1], per_class).double()
    modes.load_state_dict({"mean": mean, "log_variance": torch.from_numpy(arrays[f"{name}.prior.logvar"])})
    return modes


@pytest.mark.parametrize("kind", ["hard", "soft_all", "soft_subset", "none", "none_subset"])
@pytest.mark.parametrize(("name", "per_class"), [("m1", 1), ("m3", 3)])
def test_memory_modes(name: str, per_class: int, kind: str) -> None:
    arrays = read("07_gmm_prior")
    modes = modes_of(arrays, name, per_class)
    z = torch.from_numpy(arrays["z"]).requires_grad_()
    weight = torch.zeros(6, 5, dtype=torch.float64)
    allowed = arrays["allowed"]
    if kind == "hard":
        log_p = modes.log_density_of_class(z, one_hot(torch.from_numpy(arrays["y"]), 5, torch.float64))
    else:
        if kind == "soft_all":
            weight = torch.from_numpy(arrays["p5"])
        elif kind == "soft_subset":
            weight[:, allowed] = torch.from_numpy(arrays["p3"])
        elif kind == "none":
            weight[:] = 1 / 5
        else:
            weight[:, allowed] = 1 / 3
        log_p = modes.log_density(z, weight)
    closest(log_p, arrays[f"{name}.{kind}.log_p"], "log density")
    mean, log_variance = (torch.from_numpy(arrays[f"q_{part}"]) for part in ("mean", "logvar"))
    divergence = objectives.sampled_code_divergence(z, mean, log_variance, log_p)
    closest(divergence, arrays[f"{name}.{kind}.kl"], "divergence")
    slopes = torch.autograd.grad(log_p.sum(), (z, modes.mean, modes.log_variance))
    for slope, part in zip(slopes, ("z", "mean", "logvar"), strict=True):
        closest(slope, arrays[f"{name}.{kind}.grad_{part}"], f"gradient of {part}")


def test_modes_that_belong_to_no_class() -> None:
    arrays = read("07_gmm_prior")
    modes = modes_of(arrays, "free", 1)
    uniform = torch.full((6, modes.n_classes), 1 / modes.n_classes, dtype=torch.float64)
    closest(modes.log_density(torch.from_numpy(arrays["z"]), uniform), arrays["free.log_p"], "log density")


def test_far_mode_keeps_its_exact_density() -> None:
    """The published lower bound of 1e-40 gives -92.6 and the slope of the wrong mode; the exact value is kept here."""
    arrays = read("07_gmm_prior")
    z = torch.from_numpy(arrays["clamp.z"]).requires_grad_()
    log_p = modes_of(arrays, "clamp", 1).log_density(z, torch.from_numpy(arrays["clamp.p"]))
    (slope,) = torch.autograd.grad(log_p.sum(), z)
    closest(log_p[0], np.asarray(-264.5), "exact density")
    closest(slope[0], np.full(4, 11.5), "exact slope")
    closest(log_p[1], arrays["clamp.log_p"][1], "density where both agree")
    closest(slope[1], arrays["clamp.grad_z"][1], "slope where both agree")


# --- replayed events


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mnist", {}),
        ("internal", {"bernoulli": False}),
        ("three_modes", {"per_class": 3}),
        ("domain_taskgates", {"gates_by": "context", "contexts": 5}),
        ("task_taskgates", {"gates_by": "context"}),
        ("standard_nogate", {}),
        ("standard_classgates", {}),
    ],
)
@torch.no_grad()
def test_replayed_events(name: str, change: dict) -> None:
    arrays = read("13_sampling")
    change = {"bernoulli": True, **change}
    contexts = change.pop("contexts", 3)
    own = brain(
        arrays,
        protocol("class", classes=30, contexts=contexts),
        divisor=16,
        prefix=f"{name}.param",
        gate_prefix=f"{name}.gate",
        **change,
    )
    none = torch.zeros(10, dtype=torch.int64)
    drawn: Callable[[str], torch.Tensor] = lambda part: torch.from_numpy(arrays.get(f"{name}.{part}", none.numpy()))  # noqa: E731
    cues = Cues(drawn("draw_class"), drawn("draw_mode"), drawn("draw_task"), drawn("eps"))
    answers = torch.arange(own.plan.answers)[None] < 4
    events = Reactivation(own, 2.0)(cues, torch.arange(10), torch.full((10,), -1), answers, repeated=False)
    closest(events.activity, arrays[f"{name}.x"], "activity")
    closest(events.logits, arrays[f"{name}.logits"], "logits")
    closest(events.logits[:, :4], arrays[f"{name}.teacher_logits"], "logits of classes that compete")
    closest(events.soft_target[:, :4], arrays[f"{name}.soft_targets"], "soft targets")
    assert not events.soft_target[:, 4:].any()
    assert events.decision.tolist() == arrays[f"{name}.hard_targets"].tolist()
