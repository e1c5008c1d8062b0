"""Stimulus sets: what is refused, how they are split; named data sets: found, fetched and read, without a network."""

from __future__ import annotations

import hashlib
import http.client
import os
import pickle
import socket
import subprocess
import sys
import types
import urllib.error
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replaysim as rs
from replaysim import archives, stimuli
from replaysim.errors import DataError, MissingDataError, SettingError
from replaysim.stimuli import StimulusSet, from_arrays, load


def features(n: int = 12, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Vectors whose first element is their number, and labels in turn."""
    values = np.stack([np.arange(n), np.ones(n), np.zeros(n)], axis=1).astype(np.float32)
    return values, np.arange(n) % n_classes


def make(**changes: Any) -> StimulusSet:
    x, y = features()
    given = {"name": "toy", "train": x, "train_label": y, "test": x, "test_label": y, "classes": ("a", "b", "c")}
    return StimulusSet(**{**given, "scale": 1.0, **changes})


def with_label(position: int, value: int) -> np.ndarray:
    _, y = features()
    y[position] = value
    return y


def with_value(position: int, value: float) -> np.ndarray:
    x, _ = features()
    x[position, 1] = value
    return x


# --- StimulusSet


def test_properties_and_types() -> None:
    x, y = features()
    images = np.zeros((12, 2, 5), np.uint8)
    ours = make(train=images, test=images, train_label=y.astype(np.uint8), scale=255.0)
    assert (ours.shape, ours.size, ours.n_classes) == ((2, 5), 10, 3)
    assert ours.train is images, "uint8 images are not copied"
    assert ours.train_label.dtype == ours.test_label.dtype == np.int64
    double = make(train=x.astype(np.float64), test=x.astype(">f4"))
    assert double.train.dtype == double.test.dtype == np.float32
    np.testing.assert_array_equal(double.test, x)


def test_read_only_and_strided_arrays_become_writable_and_contiguous() -> None:
    x, _ = features(24)
    strided = x[::2]
    strided.flags.writeable = False
    ours = make(train=strided)
    assert ours.train.flags.writeable and ours.train.flags.c_contiguous
    np.testing.assert_array_equal(ours.train, strided)
    assert not strided.flags.writeable, "the user's array is left alone"
    whole = x[:12].copy()
    whole.flags.writeable = False
    assert make(train=whole).train.flags.writeable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_label": np.arange(11) % 3}, r"toy: train labels have shape \(11,\), must be \(12,\)"),
        ({"test_label": features()[1][:, None]}, r"toy: test labels have shape \(12, 1\), must be \(12,\)"),
        ({"test": np.zeros((12, 4), np.float32)}, r"train stimuli are float32 of shape \(3,\), test .* \(4,\)"),
        ({"test": np.zeros((12, 3), np.uint8)}, "train stimuli are float32 .* test stimuli uint8"),
        ({"train_label": with_label(7, 3)}, r"toy: train labels: label 7 is 3, must be in 0\.\.2"),
        ({"test_label": with_label(5, -1)}, r"toy: test labels: label 5 is -1, must be in 0\.\.2"),
        ({"train_label": features()[1] * 1.0}, "toy: train labels are float64, must be whole numbers"),
        ({"test_label": np.arange(12) % 2}, r"toy: test labels: class 'c' \(label 2\) has no stimulus"),
        ({"classes": ("a", "b", "c", "d")}, r"toy: train labels: class 'd' \(label 3\) has no stimulus"),
        ({"train": with_value(4, np.nan)}, "toy: train stimuli hold NaN or infinity in 1 of 12, first in stimulus 4"),
        ({"test": with_value(9, -np.inf)}, "toy: test stimuli hold NaN or infinity in 1 of 12, first in stimulus 9"),
        ({"train": features()[0] * np.float64(1e300)}, "toy: train stimuli hold NaN or infinity"),
        ({"train": np.zeros((12, 3), np.int64)}, "toy: train stimuli are int64, must be uint8 or floating"),
        ({"train": np.zeros((12, 3), object)}, "toy: train stimuli are object, must be uint8 or floating"),
        ({"train": np.zeros((12, 3), complex)}, "toy: train stimuli are complex128, must be"),
        ({"train": np.zeros(12)}, r"toy: train stimuli have shape \(12,\), must be \(stimulus, ...\)"),
        ({"train": np.zeros((0, 3))}, r"toy: train stimuli have shape \(0, 3\), must be"),
        ({"classes": ("a", "a", "b")}, "toy: classes are .* must be a sequence of different strings"),
        ({"classes": "abc"}, "toy: classes are 'abc', must be a sequence of different strings"),
        ({"classes": 3}, "toy: classes are 3, must be a sequence of different strings"),
        ({"classes": (0, 1, 2)}, "must be a sequence of different strings"),
    ],
)
def test_impossible_sets_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(**changes)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), "255"])
def test_impossible_scale_is_refused(scale: Any) -> None:
    with pytest.raises(SettingError, match=r"StimulusSet\.scale: got .*, must be a number > 0"):
        make(scale=scale)


def test_held_out_is_a_stratified_part_of_the_training_stimuli() -> None:
    x, y = features(60)
    ours = make(train=x, train_label=y, test=-x[:3] - 1, test_label=y[:3], scale=16.0)
    tuning = ours.held_out(fraction=0.25, seed=3)
    np.testing.assert_array_equal(np.bincount(tuning.test_label), [5, 5, 5])
    together = np.concatenate([tuning.train[:, 0], tuning.test[:, 0]])
    np.testing.assert_array_equal(np.sort(together), x[:, 0])  # every training stimulus once, no test stimulus
    np.testing.assert_array_equal(tuning.test_label, tuning.test[:, 0] % 3)  # each with its own label
    np.testing.assert_array_equal(tuning.train_label, tuning.train[:, 0] % 3)
    assert (tuning.name, tuning.classes, tuning.scale) == ("toy_held_out", ours.classes, 16.0)
    np.testing.assert_array_equal(tuning.test, ours.held_out(fraction=0.25, seed=3).test)
    assert not np.array_equal(tuning.test, ours.held_out(fraction=0.25, seed=4).test)
    with pytest.raises(SettingError, match=r"StimulusSet\.held_out\.fraction: got 1\.0, must be"):
        ours.held_out(fraction=1.0)


# --- from_arrays


def test_labels_are_mapped_in_sorted_order() -> None:
    x, y = features()
    numbers = from_arrays(x, np.array([30, -2, 7])[y], x, np.array([30, -2, 7])[y])
    assert numbers.classes == ("-2", "7", "30")
    np.testing.assert_array_equal(numbers.train_label, np.array([2, 0, 1])[y])
    words = from_arrays(x, [("owl", "cat", "fox")[i] for i in y], x, np.array(["owl", "cat", "fox"], object)[y])
    assert words.classes == ("cat", "fox", "owl")
    np.testing.assert_array_equal(words.test_label, np.array([2, 0, 1])[y])
    assert from_arrays(x, y, classes=["p", "q", "r"]).classes == ("p", "q", "r")


def test_scale_follows_the_type() -> None:
    x, y = features()
    assert from_arrays(x, y).scale == 1.0
    assert from_arrays(x.astype(np.uint8), y).scale == 255.0


def test_split_is_stratified_complete_and_never_changes() -> None:
    x, _ = features(50)
    y = np.repeat([0, 1, 2], [2, 8, 40])
    ours = from_arrays(x, y, seed=1)
    np.testing.assert_array_equal(np.bincount(ours.test_label), [1, 2, 8])
    np.testing.assert_array_equal(np.sort(np.concatenate([ours.train[:, 0], ours.test[:, 0]])), x[:, 0])
    np.testing.assert_array_equal(ours.test_label, y[ours.test[:, 0].astype(int)])
    assert ours.test[:, 0].astype(int).tolist() == [0, 4, 7, 12, 13, 33, 36, 41, 43, 46, 48]
    np.testing.assert_array_equal(np.bincount(from_arrays(x, y, test_fraction=0.999).train_label), [1, 1, 1])


def test_tensors_and_lists_are_taken() -> None:
    torch = pytest.importorskip("torch")
    x, y = features()
    ours = from_arrays(torch.from_numpy(x).double(), torch.from_numpy(y), x.tolist(), y.tolist())
    np.testing.assert_array_equal(ours.train, x)
    np.testing.assert_array_equal(ours.train_label, ours.test_label)
    with pytest.raises(DataError, match="own: stimuli cannot be read as an array"):
        from_arrays(torch.zeros(12, 3, requires_grad=True), y)


X, Y = features()


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((X, Y[:5]), {}, DataError, r"own: labels have shape \(5,\), must be \(12,\)"),
        ((X, Y * 1.0), {}, DataError, "own: labels are float64, must be whole numbers or strings"),
        ((X, [None] * 12), {}, DataError, "own: labels are object, must be whole numbers or strings"),
        (([[1.0], [1.0, 2.0]], Y), {}, DataError, "own: stimuli cannot be read as an array"),
        ((with_value(8, np.nan), Y), {}, DataError, "own: stimuli hold NaN or infinity .* first in stimulus 8"),
        ((X, with_label(0, 5)), {"name": "mine"}, DataError, "mine: class '5' has 1 stimulus, needs 2"),
        ((X, Y, X, with_label(6, 9)), {}, DataError, "own: test labels: label 6 is 9, which no training stimulus has"),
        ((X, Y, X, [*"abababababab"]), {}, DataError, "own: test labels are <U1, the training labels int64"),
        ((X, Y, X), {}, SettingError, r"from_arrays\.test_labels: got None"),
        ((X, Y, None, Y), {}, SettingError, r"from_arrays\.test_stimuli: got None"),
        ((X, Y), {"classes": ["a", "b"]}, DataError, "own: 2 class names for 3 different labels"),
        ((X, Y), {"test_fraction": 0.0}, SettingError, r"from_arrays\.test_fraction: got 0\.0, must be"),
        ((X, Y), {"seed": -1}, SettingError, r"from_arrays\.seed: got -1, must be a whole number"),
    ],
)
def test_impossible_arrays_are_refused(
    arguments: tuple[Any, ...], settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        from_arrays(*arguments, **settings)


# --- load: digits


def test_digits_are_split_as_ever() -> None:
    pytest.importorskip("sklearn")
    digits = load("digits")
    assert (digits.train.shape, digits.test.shape) == ((1438, 8, 8), (359, 8, 8))
    assert digits.train.dtype == np.uint8
    assert digits.train.max() == digits.scale == 16
    assert digits.classes == tuple("0123456789")
    content = b"".join(a.tobytes() for a in (digits.train, digits.train_label, digits.test, digits.test_label))
    assert hashlib.sha256(content).hexdigest() == "71a9f741ef7de929915f6467a3519217698554fab76495d62d43d967894a3097", (
        "another split: earlier results cannot be compared"
    )


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDataError, match="digits come with scikit-learn, which cannot be imported"):
        load("digits")


def test_unknown_name() -> None:
    with pytest.raises(SettingError, match=r"load\.name: got 'mnsit', must be one of 'digits', 'mnist', 'cifar10'"):
        load("mnsit")


# --- load: where files are looked for


def arrays_of(name: str, mark: int = 7) -> dict[str, np.ndarray]:
    """Return the smallest possible content of an archive: two training images of each class, one test image."""
    specification = archives.SPECIFICATIONS[name]
    n = specification.n_classes
    images = np.random.RandomState(0).randint(0, 256, (3 * n, *specification.image)).astype(np.uint8)
    images[0].flat[0] = mark
    label, classes = np.arange(3 * n) % n, np.array([f"class {i}" for i in range(n)])
    return {
        "x_train": images[: 2 * n],
        "y_train": label[: 2 * n],
        "x_test": images[2 * n :],
        "y_test": label[2 * n :],
        "classes": classes,
    }


def put(folder: Path, name: str, mark: int = 7, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {**arrays_of(name, mark), **changes}
    np.savez(folder / f"{name}.npz", **arrays)
    return folder / f"{name}.npz"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for torchvision on a machine without network."""
    torchvision(monkeypatch, raising=urllib.error.URLError("Network is unreachable"))


def torchvision(
    monkeypatch: pytest.MonkeyPatch, raising: BaseException | None = None, content: dict[str, Any] | None = None
) -> list[Path]:
    """Replace ``torchvision.datasets`` and return the list of folders that downloads were made into."""
    used: list[Path] = []

    def dataset(name: str) -> Callable[..., Any]:
        def build(root: Path, train: bool, download: bool) -> types.SimpleNamespace:
            assert download and Path(root).is_dir()
            assert socket.getdefaulttimeout() == 60, "a silent connection would last for ever"
            used.append(Path(root))
            (Path(root) / "raw").write_bytes(b"raw")
            if raising is not None:
                raise raising
            part, arrays = "train" if train else "test", {**arrays_of(name), **(content or {})}
            labels = arrays[f"y_{part}"].tolist()
            return types.SimpleNamespace(data=arrays[f"x_{part}"], targets=labels, classes=arrays["classes"].tolist())

        return build

    fake = types.ModuleType("torchvision.datasets")
    for name, specification in archives.SPECIFICATIONS.items():
        setattr(fake, specification.torchvision, dataset(name))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", fake)
    return used


def checkout(monkeypatch: pytest.MonkeyPatch, root: Path, cache: Path) -> None:
    """Pretend that the package lies in ``root`` and that the user's cache is ``cache``."""
    (root / "replaysim").mkdir(parents=True)
    monkeypatch.setattr(archives, "__file__", str(root / "replaysim" / "archives.py"))
    fake = types.ModuleType("platformdirs")
    fake.user_cache_dir = lambda name: str(cache / name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "platformdirs", fake)


@pytest.mark.usefixtures("no_network")
def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache, chosen = tmp_path / "repo", tmp_path / "cache", tmp_path / "chosen"
    checkout(monkeypatch, root, cache)
    monkeypatch.delenv("REPLAYSIM_DATA", raising=False)
    put(cache / "replaysim", "mnist", mark=1)
    put(root / "data", "mnist", mark=2)
    put(chosen, "mnist", mark=3)
    put(tmp_path / "given", "mnist", mark=4)

    def mark(folder: Path | None = None) -> int:
        return int(load("mnist", folder).train[0, 0, 0])

    assert mark() == 1, "the package does not lie in a checkout"
    (root / "pyproject.toml").touch()
    assert mark() == 2
    (root / "data" / "mnist.npz").unlink()
    assert mark() == 1, "an earlier download is found from a checkout as well"
    monkeypatch.setenv("REPLAYSIM_DATA", "")
    assert mark() == 1
    monkeypatch.setenv("REPLAYSIM_DATA", str(chosen))
    assert mark() == 3
    assert mark(tmp_path / "given") == 4
    with pytest.raises(MissingDataError):
        mark(tmp_path / "elsewhere")


def test_message_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None) -> None:
    checkout(monkeypatch, tmp_path / "repo", tmp_path / "cache")
    (tmp_path / "repo" / "pyproject.toml").touch()
    monkeypatch.delenv("REPLAYSIM_DATA", raising=False)
    with pytest.raises(MissingDataError) as caught:
        load("cifar10")
    message = str(caught.value)
    assert message.startswith("cifar10.npz is not on this machine, and it could not be downloaded (URLError:")
    assert f"{tmp_path / 'repo' / 'data'}, {tmp_path / 'cache' / 'replaysim'}." in message
    assert "x_train and x_test (uint8, shape (images, 32, 32, 3)), y_train and y_test (whole numbers 0..9" in message
    assert "REPLAYSIM_DATA" in message and "Network is unreachable" in message
    assert not list((tmp_path / "repo" / "data").iterdir()), "nothing is left behind"


# --- load: fetching


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_download_is_kept_and_read_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used = torchvision(monkeypatch)
    first = load(name, tmp_path / "new" / "folder")
    assert len(used) == 2 and "fetching" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == [f"{name}.npz"], "the raw download is removed"
    assert used[0].parent == tmp_path / "new" / "folder", "on the same disk as its destination"
    again = load(name, tmp_path / "new" / "folder")
    assert len(used) == 2 and not capsys.readouterr().err
    source = arrays_of(name)
    for ours in (first, again):
        expected = source["x_train"] if name == "mnist" else np.moveaxis(source["x_train"], -1, 1)
        np.testing.assert_array_equal(ours.train, expected)
        np.testing.assert_array_equal(ours.test_label, source["y_test"])
        assert (ours.name, ours.scale, ours.classes) == (name, 255.0, tuple(source["classes"].tolist()))
        assert ours.shape == ((28, 28) if name == "mnist" else (3, 32, 32))
        assert ours.train.flags.c_contiguous and ours.train.flags.writeable
    assert socket.getdefaulttimeout() is None, "the limit for silent connections is taken back"


FAILURES = [
    urllib.error.URLError("Name or service not known"),
    RuntimeError("Error downloading train-images-idx3-ubyte.gz:\nTried this, got:\nthat"),
    OSError(28, "No space left on device"),
    TimeoutError("timed out"),
    http.client.IncompleteRead(b"half"),
    EOFError("Compressed file ended before the end-of-stream marker was reached"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda e: type(e).__name__)
def test_failed_download(failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision(monkeypatch, raising=failure)
    with pytest.raises(MissingDataError, match=rf"mnist\.npz .* could not be downloaded \({type(failure).__name__}"):
        load("mnist", tmp_path)
    assert not list(tmp_path.iterdir())
    assert socket.getdefaulttimeout() is None


def test_interrupted_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision(monkeypatch, raising=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        load("mnist", tmp_path)
    assert not list(tmp_path.iterdir())


def test_crash_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision(monkeypatch)
    seen: list[list[Path]] = []

    def savez(file: Any, **arrays: np.ndarray) -> None:
        file.write(b"half")
        file.flush()
        seen.append([p for p in tmp_path.iterdir() if p.suffix == ".npz"])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(MissingDataError, match="No space left on device"):
        load("mnist", tmp_path)
    assert seen == [[]], "half a file must not be found under the final name at any time"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("won", [True, False])
def test_file_in_use_by_another_process(won: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to replace an open file: no harm if the other process has just put the same there."""
    torchvision(monkeypatch)

    def replace(source: Path, target: Path) -> None:
        if won:
            put(tmp_path, "mnist")
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(os, "replace", replace)
    if won:
        assert load("mnist", tmp_path).train.shape == (20, 28, 28)
    else:
        with pytest.raises(MissingDataError, match="Access is denied"):
            load("mnist", tmp_path)


def test_download_that_is_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision(monkeypatch, content={"x_test": np.zeros((10, 14, 14), np.uint8)})
    with pytest.raises(DataError, match=r"mnist as torchvision gives it: x_test has shape \(10, 14, 14\)"):
        load("mnist", tmp_path)
    assert not list(tmp_path.iterdir()), "what is wrong is not kept"


@pytest.mark.parametrize("broken", [None, "mismatched"])
def test_without_torchvision(broken: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken is None:
        monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    else:
        (tmp_path / "torchvision").mkdir()
        (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator nms does not exist')")
        monkeypatch.syspath_prepend(str(tmp_path))
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            monkeypatch.delitem(sys.modules, module)
    with pytest.raises(
        MissingDataError, match=r"cifar100\.npz .*torchvision, .* cannot be imported \((Module|Runtime)"
    ):
        load("cifar100", tmp_path / "data")


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision(monkeypatch)
    (tmp_path / "file").touch()
    with pytest.raises(MissingDataError, match=r"mnist\.npz .*\((FileExistsError|NotADirectoryError)"):
        load("mnist", tmp_path / "file")


RACE = """
import sys, time, types
from pathlib import Path
import numpy as np
images, label = np.full((20, 28, 28), 9, np.uint8), np.arange(20) % 10
class MNIST:
    def __init__(self, root, train, download):
        (Path(root) / "raw").write_bytes(b"raw")
        Path(sys.argv[2]).touch()
        end = time.monotonic() + 20
        while len(list(Path(sys.argv[2]).parent.iterdir())) < 3 and time.monotonic() < end:
            time.sleep(0.01)  # until all are downloading
        self.data, self.targets, self.classes = images, label, [f"{i} - name" for i in range(10)]
fake = types.ModuleType("torchvision.datasets")
fake.MNIST = MNIST
sys.modules["torchvision.datasets"] = fake
from replaysim.stimuli import load
mnist = load("mnist", sys.argv[1])
assert mnist.train.min() == 9 and mnist.classes == tuple("0123456789")
"""


def test_simultaneous_downloads(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    command = [sys.executable, "-W", "error", "-c", RACE, str(tmp_path / "data")]
    root = Path(stimuli.__file__).parent.parent
    racing = [
        subprocess.Popen([*command, str(tmp_path / "here" / str(i))], cwd=root, stderr=subprocess.PIPE, text=True)
        for i in range(3)
    ]
    for process in racing:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["mnist.npz"]
    assert load("mnist", tmp_path / "data").train.shape == (20, 28, 28)


# --- load: damaged and foreign files


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_truncated_file(keep: float, tmp_path: Path, no_network: None) -> None:
    path = put(tmp_path, "mnist")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=r"mnist\.npz: cannot be read as an npz file of plain arrays.*delete it"):
        load("mnist", tmp_path)


def test_bit_rot_is_noticed(tmp_path: Path, no_network: None) -> None:
    path = put(tmp_path, "mnist")
    content = bytearray(path.read_bytes())
    content[2000] ^= 255  # within the images
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mnist\.npz: cannot be read .*CRC"):
        load("mnist", tmp_path)


def test_files_of_another_kind(tmp_path: Path, no_network: None) -> None:
    path = tmp_path / "mnist.npz"
    path.write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"mnist\.npz: cannot be read"):
        load("mnist", tmp_path)
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="it is a single array"):
        load("mnist", tmp_path)


def test_missing_array_is_named(tmp_path: Path, no_network: None) -> None:
    arrays: dict[str, Any] = arrays_of("mnist")
    del arrays["classes"]
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(DataError, match=r"mnist\.npz: has no array 'classes'; mnist\.npz holds x_train and x_test"):
        load("mnist", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((20, 28, 28))}, "x_train is float64"),
        ({"x_test": np.zeros((10, 32, 32, 3), np.uint8)}, r"x_test has shape \(10, 32, 32, 3\)"),
        ({"x_train": np.zeros((20, 784), np.uint8)}, r"x_train has shape \(20, 784\)"),
        ({"y_train": np.zeros(20)}, "y_train is float64"),
        ({"y_test": np.zeros(9, int)}, r"y_test has shape \(9,\) and x_test \(10, 28, 28\)"),
        ({"classes": np.arange(10)}, "classes is int64"),
        ({"classes": np.array(["a", "b"])}, r"classes has shape \(2,\)"),
        ({"classes": np.array(["a"] * 10)}, "must be a sequence of different strings"),
        ({"y_test": np.full(10, 12)}, r"test labels: label 0 is 12, must be in 0\.\.9"),
        ({"classes": np.array([None] * 10)}, "cannot be read as an npz file of plain arrays"),
    ],
)
def test_foreign_content_is_named(changes: dict[str, Any], message: str, tmp_path: Path, no_network: None) -> None:
    put(tmp_path, "mnist", **changes)
    with pytest.raises(DataError, match=rf"mnist\.npz: .*{message}"):
        load("mnist", tmp_path)


# --- load: against the real torchvision


def idx(values: np.ndarray) -> bytes:
    """Encode an array as MNIST is published: two zero bytes, type, number of axes, big-endian sizes, data."""
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes() + values.astype(np.uint8).tobytes()


def test_real_torchvision_reads_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    source = arrays_of("mnist")

    def download(self: Any) -> None:
        raw = Path(self.raw_folder)
        raw.mkdir(parents=True, exist_ok=True)
        for stem, part in (("train", "train"), ("t10k", "test")):
            (raw / f"{stem}-images-idx3-ubyte").write_bytes(idx(source[f"x_{part}"]))
            (raw / f"{stem}-labels-idx1-ubyte").write_bytes(idx(source[f"y_{part}"]))

    monkeypatch.setattr(datasets.MNIST, "download", download)
    ours = load("mnist", tmp_path)
    np.testing.assert_array_equal(ours.train, source["x_train"])
    np.testing.assert_array_equal(ours.test_label, source["y_test"])
    assert ours.classes == tuple("0123456789")
    assert [p.name for p in tmp_path.iterdir()] == ["mnist.npz"]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_real_torchvision_reads_cifar(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    source, dataset = arrays_of(name), getattr(datasets, name.upper())
    rows = {part: np.moveaxis(source[f"x_{part}"], -1, 1).reshape(-1, 3072) for part in ("train", "test")}
    key = "labels" if name == "cifar10" else "fine_labels"
    meta = pickle.dumps({dataset.meta["key"]: source["classes"].tolist()})

    def download(self: Any) -> None:
        base = Path(self.root) / self.base_folder
        base.mkdir(parents=True, exist_ok=True)
        for part in ("train", "test"):
            content = {"data": rows[part], key: source[f"y_{part}"].tolist()}
            (base / part).write_bytes(pickle.dumps(content))
        (base / "names").write_bytes(meta)

    monkeypatch.setattr(dataset, "download", download)
    monkeypatch.setattr(dataset, "train_list", [["train", None]])
    monkeypatch.setattr(dataset, "test_list", [["test", None]])
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "filename": "names", "md5": hashlib.md5(meta).hexdigest()})
    ours = load(name, tmp_path)
    np.testing.assert_array_equal(ours.train, np.moveaxis(source["x_train"], -1, 1))
    np.testing.assert_array_equal(ours.train_label, source["y_train"])
    assert ours.classes == tuple(source["classes"].tolist())


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, replaysim.stimuli as s; "
        "heavy = {'torch', 'torchvision', 'sklearn', 'tqdm', 'platformdirs', 'xarray'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    root = Path(stimuli.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=60)


def test_what_is_shown_of_stimuli_is_short() -> None:
    """In a notebook, too, which shows whatever ends a cell."""
    shown = repr(rs.SplitDigits(scenario="task"))
    words = "StimulusSet('digits': 1438 training and 359 test stimuli of 8×8, 10 classes), contexts=5, scenario='task'"
    assert words in shown and len(shown) < 200


def test_limited_stimuli_are_the_first_of_every_class_with_their_labels() -> None:
    whole = load("digits")
    few = whole.limited(7, 3)
    assert (few.name, few.classes, few.scale, few.light) == ("digits_limited", whole.classes, whole.scale, whole.light)
    for part, most in (("train", 7), ("test", 3)):
        label = getattr(whole, f"{part}_label")
        rows = sorted(row for c in range(10) for row in np.flatnonzero(label == c)[:most])
        assert len(rows) == 10 * most
        assert np.array_equal(getattr(few, part), getattr(whole, part)[rows])
        assert np.array_equal(getattr(few, f"{part}_label"), label[rows])
    assert np.array_equal(whole.limited(10_000, 10_000).train, whole.train)
    with pytest.raises(SettingError, match=r"StimulusSet\.limited\.test: got 0"):
        whole.limited(1, 0)


def test_a_protocol_may_be_replaced_piece_by_piece() -> None:
    """Groups of classes are read once; after that they are indices, whatever the classes are called."""
    label, x = np.arange(12).repeat(5), np.random.default_rng(0).random((60, 4)).astype(np.float32)
    groups = [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8", "9", "10", "11"]]
    own = rs.SplitProtocol(x, label.astype(str), contexts=groups)

    def named(one: rs.SplitProtocol) -> list[list[str]]:
        return [[one.stimuli.classes[c] for c in group] for group in one.contexts]

    assert named(own) == groups
    for other in (replace(own, scenario="domain"), rs.SplitProtocol(own.stimuli, contexts=own.contexts)):
        assert named(other) == groups and other.contexts == own.contexts
    assert named(pickle.loads(pickle.dumps(replace(own, name="again")))) == groups
    from_one = rs.SplitProtocol(x, label + 1, contexts=[[1, 2, 3], list(range(4, 13))])
    assert replace(from_one, scenario="task").contexts == from_one.contexts
    with pytest.raises(SettingError, match="groups in which each class of"):
        rs.SplitProtocol(x[:30], label[:30], contexts=own.contexts)
