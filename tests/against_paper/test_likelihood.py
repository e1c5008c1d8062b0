"""Importance-sampled log-likelihood and error of reconstruction (file 12)."""

from __future__ import annotations

import pytest
import torch
from oracle import brain, closest, protocol, read
from small import brain as small_brain
from small import protocol as small_protocol

import replaysim as rs
from replaysim.errors import DataError, SettingError
from replaysim.likelihood import log_likelihood, reconstruction_error


def trained(name: str) -> rs.Brain:
    own = protocol("class", classes=10, contexts=5, size=12)
    gated = name == "ll"
    return brain(
        read("12_metrics"),
        own,
        divisor=3072,
        bernoulli=False,
        prefix=f"{name}.param",
        gate_prefix=f"{name}.gate",
        gated=gated,
    )


@pytest.mark.parametrize("name", ["ll", "ll_std"])
def test_log_likelihood(name: str) -> None:
    arrays = read("12_metrics")
    x, y, noise = (torch.from_numpy(arrays[f"ll.{part}"]) for part in ("x", "y", "eps"))
    found = log_likelihood(trained(name), x, y, noise)
    closest(found, arrays[f"{name}.log_likelihood"], "log-likelihood")


def test_reconstruction_error() -> None:
    arrays, own = read("12_metrics"), trained("ll")
    x, y = (torch.from_numpy(arrays[f"ll.{part}"]) for part in ("x", "y"))
    closest(reconstruction_error(own, x, y), arrays["ll.recon_error_mean"], "mean")
    closest(reconstruction_error(own, x, y, over="sum"), arrays["ll.recon_error_sum"], "sum")


def test_what_cannot_be() -> None:
    own = small_protocol()
    x, y = torch.rand(3, 16), torch.tensor([0, 1, 2])
    with pytest.raises(SettingError, match="a brain with a hippocampus"):
        log_likelihood(rs.classifier(own, units=(8, 8)).grow(0), x, y, torch.zeros(3, 2, 5))
    with pytest.raises(DataError, match="noise has shape"):
        log_likelihood(small_brain(own).grow(12), x, y, torch.zeros(3, 5))
    by_context = small_brain(own, gates_by="context").grow(12)
    with pytest.raises(SettingError, match="go by context"):
        reconstruction_error(by_context, x, y)
    assert reconstruction_error(by_context, x, y, contexts=torch.tensor([0, 1, 2])).shape == (3,)
