"""What data/README.md says of the early areas that come with replaysim is what was measured; and still is."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from replaysim.early_areas import checksum, load_early_areas, shipped
from replaysim.errors import MissingDataError
from replaysim.maturity import Discriminant, evoked, unit_variance
from replaysim.retina import LIGHT
from replaysim.stimuli import load

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "data" / "early_areas.safetensors"
TEXT = (ROOT / "data" / "README.md").read_text(encoding="utf-8")


def test_an_installed_package_holds_them() -> None:
    """What pyproject.toml lets setuptools install covers the very file that is found here."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    lies_in = {ROOT / folder: package for package, folder in setup["package-dir"].items()}
    package = lies_in[shipped().parent]
    assert package in setup["packages"] and package == "replaysim.data", "where shipped() looks in an installed package"
    assert shipped() in {path for pattern in setup["package-data"][package] for path in shipped().parent.glob(pattern)}
    assert shipped() == FILE and not (ROOT / "MANIFEST.in").exists(), "nothing else has a say"


def kept(recipe: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / "results" / f"early_areas_{recipe}.json").read_text("utf-8"))
    return found


def cells(beginning: str) -> list[str]:
    (line,) = (line for line in TEXT.splitlines() if line.startswith(f"| {beginning}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_shows_what_was_measured() -> None:
    found = kept("renewed")
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == found["sha256"] and found["sha256"] in TEXT
    assert checksum(FILE) in TEXT
    assert cells("linear discriminant on CIFAR-100")[1] == f"{100 * found['discriminant_held_out']:.1f} %"
    assert cells("the same, test photographs")[1] == f"{100 * found['discriminant_test']:.1f} %"
    least, most = (found[f"variance_{end}"] for end in ("least", "most"))
    assert cells("variance per unit")[1] == f"{found['variance']:.3f} ({least:.3f}, {most:.2f})"
    assert found["discriminant_test"] >= 0.44


@pytest.mark.parametrize("recipe", ["renewed", "script"])
def test_the_table_of_recipes_does_too(recipe: str) -> None:
    found, row = kept(recipe), cells(f"`{recipe}`{' (these):' if recipe == 'renewed' else ':'}")
    assert row[1] == str(found["epochs"]) and found["held_out_photographs"] == 5000
    assert row[2:4] == [f"{100 * found['discriminant_held_out']:.1f}", f"{found['variance']:.3f}"]


def test_what_is_said_of_the_published_script() -> None:
    found = kept("script")
    assert cells("`script`:")[4] == f"{100 * found['cifar10_test']:.1f}"
    assert f"they reach {100 * found['discriminant_test']:.1f} % of the test photographs" in TEXT


@pytest.mark.slow
@pytest.mark.skipif("REPLAYSIM_DATA" not in os.environ, reason="CIFAR-100 is not downloaded for tests")
def test_they_name_photographs_that_they_never_met() -> None:
    try:
        stimuli = load("cifar100")
    except MissingDataError:
        pytest.skip("no CIFAR-100 there")
    areas, found = load_early_areas(FILE)[0], kept("renewed")
    learned, tested = (evoked(areas, images, LIGHT["cifar100"]) for images in (stimuli.train, stimuli.test))
    right = Discriminant.fit(learned, stimuli.train_label).accuracy(tested, stimuli.test_label)
    assert right == pytest.approx(found["discriminant_test"], abs=1e-3) and right >= 0.44
    assert float(unit_variance(learned).mean()) == pytest.approx(found["variance"], rel=1e-4)
