"""Passes: batch after batch where a part normalises by its batch, all at once where none does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import seeing
import torch
from torch import Tensor, nn

import replaysim as rs
from replaysim.cohort import Cohort
from replaysim.events import Episodes, plan_round
from replaysim.hippocampus import Code
from replaysim.learning import Trials
from replaysim.passes import in_passes, looks_at_its_batch
from replaysim.replay import CurrentInputReplay


class Normalising(nn.Module):
    """Counts its passes, and says something about the batch that it is given."""

    def __init__(self, *, code: bool = False) -> None:
        super().__init__()
        self.normalisation, self.code, self.rows = nn.BatchNorm1d(3), code, list[int]()

    def forward(self, activity: Tensor, gates: tuple[Tensor, ...] | None = None) -> Tensor | Code:
        self.rows.append(len(activity))
        found = self.normalisation(activity)
        for gate in gates or ():
            found = gate * found
        return Code(found, -found) if self.code else found


def test_who_looks_at_its_batch() -> None:
    part = nn.Sequential(nn.Linear(3, 3), Normalising())
    assert looks_at_its_batch(part.train()) and not looks_at_its_batch(part.eval())
    assert not looks_at_its_batch(nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)).train())
    own = seeing.protocol()
    plans: list[tuple[Callable[[], rs.BrainPlan], bool]] = [
        (lambda: seeing.classifier(own, "plastic"), True),
        (lambda: seeing.classifier(own, "frozen"), False),
    ]
    for make, wanted in plans:
        assert looks_at_its_batch(make().grow(0).train().cortex) == wanted


@pytest.mark.parametrize("code", [False, True], ids=["activity", "code"])
@pytest.mark.parametrize("gated", [False, True], ids=["open", "gated"])
def test_batches_are_met_one_by_one(code: bool, gated: bool) -> None:
    chance = torch.Generator().manual_seed(0)
    activity, gates = torch.randn(9, 3, generator=chance), [torch.rand(9, 3, generator=chance) for _ in range(2)]
    part, alone = Normalising(code=code).train(), Normalising(code=code).train()
    found = in_passes(part, (2, 4, 3), activity, gates if gated else None)
    assert part.rows == [2, 4, 3]
    begin = 0
    for size in (2, 4, 3):
        rows = slice(begin, begin + size)
        wanted = alone(activity[rows], tuple(g[rows] for g in gates) if gated else None)
        for one, other in zip(found if code else [found], wanted if code else [wanted], strict=True):
            assert torch.equal(one[rows], other)
        begin += size
    assert torch.equal(part.normalisation.running_mean, alone.normalisation.running_mean)  # type: ignore[arg-type]
    assert type(found) is (Code if code else Tensor)
    part.eval().rows.clear()
    in_passes(part, (2, 4, 3), activity, gates if gated else None)
    assert part.rows == [9], "once where the others of a batch do not matter"


def test_current_stimuli_are_met_again_as_a_batch_of_their_own() -> None:
    """Their activity is the same; but the second batch moves the running statistics, too."""
    own = seeing.protocol()
    plan = seeing.classifier(own, "plastic")
    cohort = Cohort([plan.grow(12)], rate=1e-3, replay=CurrentInputReplay(), dtype=torch.float64)
    assert not cohort._experience.entrances.shared
    frozen = Cohort([seeing.classifier(own).grow(12)], rate=1e-3, replay=CurrentInputReplay())
    assert frozen._experience.entrances.shared, "where nothing looks at its batch, the cortex climbs once"
    single = plan.grow(12).double().train()
    cohort.remember_self()
    stimulus = torch.randn(1, 6, *seeing.IMAGE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([[2, 3, 2, 3, 2, 3]])
    rounds = plan_round(own, 1, 6, cued=False)
    events = cohort.appraise(Episodes(stimulus, target, 0 * target + 1), rounds)
    trials, noise = Trials(stimulus, target, 0 * target, 0 * target + 1), torch.zeros(1, 6, 0, dtype=torch.float64)
    cohort.learn(trials, torch.arange(6)[None] < 4, noise, events, rounds, 0.5)
    for _ in range(2):
        single.perceive(stimulus[0])
    statistics = dict(single.named_buffers())
    assert len(statistics) == 12
    for name, value in statistics.items():
        torch.testing.assert_close(cohort.fixed[name][0], value, rtol=0, atol=1e-13)
        assert not name.endswith("num_batches_tracked") or int(value) == 2


def test_gates_by_context_above_plastic_early_areas() -> None:
    """Trials of different contexts are met context after context, each through its own gates."""
    own = seeing.protocol("task")
    grown = seeing.classifier(own, "plastic", gating=rs.ContextGating(0.5)).grow(12).double()
    cohort = Cohort([grown], rate=1e-3, dtype=torch.float64)
    context = torch.tensor([[2] * 4 + [1] * 3])
    stimulus = torch.randn(1, 7, *seeing.IMAGE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    trials = Trials(stimulus, 2 * context, 0 * context, context)
    answers = torch.stack([torch.arange(6) // 2 == c for c in context[0].tolist()])
    losses = cohort.learn(trials, answers, torch.zeros(1, 7, 0, dtype=torch.float64), groups=(4, 3))
    grown.train()
    logits = torch.cat(
        [
            grown.readout(grown.perceive(shown, context=told)[grown.top])
            for shown, told in zip(stimulus[0].split((4, 3)), (2, 1), strict=True)
        ]
    )
    silent = torch.where(answers, logits, -torch.inf)
    wanted = nn.functional.cross_entropy(silent, trials.target[0])
    wanted.backward()
    torch.testing.assert_close(losses[0, 0], wanted.detach(), rtol=0, atol=1e-12)
    for name, parameter in grown.named_parameters():
        gradient = cohort.synapses[name].grad
        assert gradient is not None and parameter.grad is not None
        torch.testing.assert_close(gradient[0], parameter.grad, rtol=0, atol=1e-12)
    assert grown.context_gates is not None
    for area in ("association_1", "association_2"):
        closed = ~grown.context_gates.get_buffer(area)[[1, 2]].bool().any(0)
        assert not cohort.synapses[f"cortex.{area}.weight"].grad[0, closed].any()  # type: ignore[index]
