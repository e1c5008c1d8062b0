"""Slips are told in one sentence before anything is computed, and foreign files are left alone."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from loading import run

ROOT = Path(__file__).resolve().parents[2]


def study(name: str, *arguments: str) -> CompletedProcess[str]:
    return run(name, "--quick", *arguments)


CUDA = () if torch.cuda.is_available() else ("cuda",)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("speed", ("--workers", "0"), "--workers: got 0, must be a whole number >= 1"),
        ("speed", ("--repeats", "0"), "--repeats: got 0"),
        ("speed", ("--repeats", "-3"), "--repeats: got -3"),
        ("speed", ("--animals", "1,1"), "given twice: 1"),
        ("speed", ("--analysis", "--device", "cuda"), "--device: got 'cuda', must be one of 'cpu'"),
        *(("speed", ("--device", name), "torch finds no CUDA device") for name in CUDA),
        ("develop_visual_cortex", ("--device", "tpu"), "device: got 'tpu', must be one of 'cpu', 'cuda'"),
        *(("develop_visual_cortex", ("--device", name), "torch finds no CUDA device") for name in CUDA),
        ("tune_digits", ("--workers", "0"), "--workers: got 0"),
    ],
)
def test_slips_are_sentences(name: str, options: tuple[str, ...], words: str) -> None:
    done = study(name, *options)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not done.stdout


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name,value\nmine,1\n", "is no table of trials of a search: its first line is 'name,value'"),
        (b"\x89PNG\r\n\xff\x00", "is not a table of trials"),
        (b"", "is no table of trials"),
        ((ROOT / "docs" / "results" / "digits_tuning.csv").read_bytes()[:-20], "was the file cut off?"),
    ],
)
def test_a_search_leaves_foreign_files_alone(
    tmp_path: Path, content: bytes, words: str, overwrite: tuple[str, ...]
) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    done = study("tune_digits", "--animals", "0:2", "--out", str(path), *overwrite)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_a_search_needs_a_file(tmp_path: Path) -> None:
    done = study("tune_digits", "--animals", "0:2", "--out", str(tmp_path))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "no trials of a search at" in done.stderr
