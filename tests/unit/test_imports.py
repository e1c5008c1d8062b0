"""Imports run one way, and importing the package is quick."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "xarray", "sklearn", "matplotlib", "torchvision", "scipy", "pandas")

# module: what it may import of the package. A module that is not listed here is a decision that has not been made.
ALLOWED = {
    "errors": "",
    "rng": "",
    "archives": "errors",
    "stimulus_checks": "errors",
    "stimuli": "errors archives retina stimulus_checks",
    "abstract_protocol": "errors stimuli",
    "protocol": "errors rng abstract_protocol stimuli",
    "sessions": "errors protocol stimuli stimulus_checks",
    "permuted": "errors rng abstract_protocol protocol stimuli",
    "arithmetic": "",
    "allocation": "",
    "objectives": "",
    "memory_modes": "errors objectives",
    "gating": "errors",
    "context_gating": "errors",
    "cortex": "errors",
    "retina": "errors",
    "tensor_files": "errors",
    "products": "",
    "places": "",
    "retinotopy": "places products",
    "early_areas": "errors cortex retinotopy tensor_files",
    "visual_cortex": "errors cortex early_areas",
    "early_activity": "arithmetic errors cortex early_areas retina tensor_files visual_cortex",
    "recipes": "errors early_areas",
    "glimpses": "rng",
    "optimiser_state": "",
    "development_state": "arithmetic errors rng early_areas optimiser_state recipes retina tensor_files",
    "development": "arithmetic errors rng development_state early_areas glimpses recipes retina stimuli tensor_files",
    "maturity": "arithmetic errors early_areas retina",
    "hippocampus": "errors cortex",
    "descending": "errors retinotopy",
    "feedback": "errors descending",
    "pathways": "cortex descending feedback hippocampus visual_cortex",
    "brain": "arithmetic errors rng context_gating cortex descending feedback gating hippocampus memory_modes "
    "objectives pathways",
    "brains": "errors protocol memory_modes gating context_gating cortex visual_cortex hippocampus brain",
    "likelihood": "errors brain objectives",
    "brain_files": "errors memory_modes gating context_gating cortex visual_cortex hippocampus brain "
    "pathways tensor_files",
    "events": "brain objectives protocol",
    "replay": "errors brain",
    "passes": "",
    "learning": "errors brain cortex events objectives passes",
    "consolidation": "errors",
    "fisher": "brain cortex objectives",
    "sensitivity": "fisher",
    "presentation": "cortex retina",
    "experience": "errors rng brain events learning presentation protocol",
    "elastic": "errors consolidation",
    "layout": "optimiser_state",
    "shells": "brain cortex",
    "standing": "brain cortex",
    "cohort": "brain consolidation cortex errors events fisher layout learning replay sensitivity shells",
    "repetition": "errors",
    "steps": "cohort events learning products repetition",
    "storage": "rng brain events experience protocol",
    "recorder": "errors brain learning protocol",
    "observation": "rng protocol cortex brain presentation cohort",
    "drift": "observation",
    "replay_log": "protocol cohort observation",
    "recording": "protocol events learning presentation cohort recorder observation drift replay_log standing",
    "reinitialisation": "arithmetic rng cohort",
    "checkpoints": "errors tensor_files cohort consolidation optimiser_state recording",
    "life": "arithmetic errors rng brain checkpoints cohort consolidation cortex events experience learning "
    "presentation products protocol recorder recording reinitialisation replay steps storage",
    "locks": "errors",
    "attributes": "errors",
    "schema": "errors",
    "netcdf": "errors attributes schema",
    "pieces": "errors attributes schema netcdf",
    "provenance": "errors attributes schema",
    "folders": "errors netcdf",
    "history": "",
    "run_folder": "errors attributes schema folders history netcdf pieces provenance",
    "log": "attributes schema folders joining netcdf pieces provenance run_folder",
    "describe": "errors log schema",
    "crew": "allocation errors checkpoints life log recording",
    "own_cortex": "errors brain brain_files cohort cortex",
    "rehearsal": "arithmetic errors brain cohort consolidation context_gating cortex fisher layout life own_cortex "
    "sensitivity products visual_cortex elastic shells",
    "preparation": "errors rng abstract_protocol protocol cortex visual_cortex early_activity pathways brain replay "
    "learning consolidation experience recorder observation life products rehearsal standing",
    "fingerprints": "arithmetic brain cortex early_areas hippocampus own_cortex sameness stimuli tensor_files "
    "visual_cortex",
    "sameness": "errors",
    "joining": "errors pieces provenance sameness",
    "simulation": "errors protocol brain replay learning consolidation recorder life locks provenance log crew "
    "brain_files fingerprints history preparation sameness",
    "arms": "brain brains consolidation context_gating learning permuted protocol replay elastic",
    "ingredients": "errors arms brains",
    "presets": "errors arms brain brains consolidation ingredients learning protocol recorder replay simulation "
    "visual_cortex",
    "embedding": "errors brain cortex protocol retina",
    "expectation": "errors rng brain cortex likelihood",
    "lesion_arms": "errors arms brains ingredients presets protocol",
    "resumption": "errors protocol brain cortex learning life locks log simulation brain_files preparation sameness "
    "tensor_files",
    "portions": "errors brain crew log preparation protocol resumption",
    "conditions": "errors resumption",
    "options": "errors early_areas portions visual_cortex",
    "study_folder": "errors folders provenance",
    "commandline": "allocation errors",
    "cli": "errors commandline describe presets portions resumption",
    "__main__": "cli",
    "__init__": None,
}
ANALYSIS = {
    "devices": "",
    "labelled": "devices",
    "groups": "",
    "class_order": "groups",
    "readings": "class_order groups",
    "forgetting": "",
    "intransigence": "forgetting",
    "comparison": "forgetting intransigence",
    "covariance": "devices",
    "dissimilarity": "devices",
    "rsa": "covariance devices dissimilarity labelled",
    "ranks": "devices",
    "rdm_comparison": "devices dissimilarity labelled ranks",
    "alignment": "devices labelled",
    "replayed_geometry": "dissimilarity labelled ranks rdm_comparison readings",
    "retained_geometry": "dissimilarity labelled rdm_comparison",
    "bridges": "dissimilarity labelled",
    "distances": "devices",
    "neighbours": "devices distances",
    "histograms": "devices",
    "frechet": "devices",
    "fidelity": "devices frechet histograms labelled neighbours readings",
    "replay_fidelity": "fidelity labelled readings",
    "operations": "",
    "stopwatch": "",
    "benchmarks": "alignment dissimilarity frechet neighbours rsa stopwatch",
    "quality": "comparison fidelity replay_fidelity terminal",
    "snapshots": "labelled",
    "drift": "covariance devices snapshots",
    "subspaces": "covariance devices snapshots",
    "decoding": "covariance devices snapshots",
    "replay_statistics": "class_order devices labelled readings",
    "style": "",
    "figures": "comparison forgetting style",
    "figures_geometry": "figures rsa style",
    "figures_fidelity": "comparison style terminal",
    "figures_replay": "comparison style",
    "figures_methods": "comparison published style",
    "methods_table": "forgetting published terminal",
    "summaries": "csv_tables forgetting",
    "csv_tables": "",
    "bounds": "csv_tables",
    "orders": "csv_tables origins precisions",
    "precisions": "csv_tables origins",
    "origins": "csv_tables summaries",
    "published": "csv_tables",
    "summary_tables": "bounds csv_tables orders origins precisions published",
    "glance": "orders origins precisions published summary_tables",
    "results_page": "summary_tables",
    "results_sections": "origins",
    "prose": "csv_tables orders origins precisions published summary_tables",
    "figures_kept": "csv_tables figures_methods origins precisions published",
    "survival": "forgetting readings",
    "terminal": "comparison",
    "vanished": "",
    "page": "comparison style",
    "report_behaviour": "comparison figures forgetting page style",
    "report_geometry": None,
    "report_replay": None,
    "report_conditions": "",
    "report": "devices page readings report_behaviour report_conditions report_geometry report_replay terminal",
    "__init__": "",
}


def imports(path: Path) -> set[str]:
    """Top-level package and, for our own, the module, of every import anywhere in a file."""
    found = set()
    package = path.parent.name
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = f"{package}.{base}" if base else package
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == package else {base}
    return found


def own(found: set[str], package: str) -> set[str]:
    return {name.split(".")[1] for name in found if name.startswith(package + ".") and name != f"{package}.__version__"}


@pytest.mark.parametrize("path", sorted((ROOT / "replaysim").glob("*.py")), ids=lambda p: p.stem)
def test_modules_import_only_what_they_may(path: Path) -> None:
    assert path.stem in ALLOWED, f"say in this test what {path.name} may import"
    allowed = ALLOWED[path.stem]
    if allowed is None:
        return
    extra = own(imports(path), "replaysim") - set(allowed.split())
    assert not extra, f"{path.name} must not know {sorted(extra)}"


def test_imports_have_no_circle() -> None:
    known = {p.stem: own(imports(p), "replaysim") for p in (ROOT / "replaysim").glob("*.py") if p.stem != "__init__"}
    while known:
        free = [name for name, needs in known.items() if not needs & set(known)]
        assert free, f"these modules import each other: {sorted(known)}"
        for name in free:
            del known[name]


@pytest.mark.parametrize("path", sorted((ROOT / "analysis").glob("*.py")), ids=lambda p: p.stem)
def test_analyses_know_logs_only(path: Path) -> None:
    found = imports(path)
    assert own(found, "replaysim") <= {"arithmetic", "errors", "log"}
    assert path.stem in ANALYSIS, f"say in this test what {path.name} may import"
    allowed = ANALYSIS[path.stem]
    if allowed is not None:
        assert own(found, "analysis") <= set(allowed.split())


def test_only_stimuli_knows_torchvision_and_only_figures_matplotlib() -> None:
    for path in [*(ROOT / "replaysim").glob("*.py"), *(ROOT / "analysis").glob("*.py")]:
        top = {name.split(".")[0] for name in imports(path)}
        assert "torchvision" not in top or path.stem in ("archives", "stimuli")
        assert "matplotlib" not in top or path.stem.startswith(("figures", "page", "report", "style"))
        if path.stem in ("log", "netcdf", "pieces", "schema", "attributes", "recorder"):
            assert "torch" not in top


def loaded(code: str) -> list[str]:
    """Heavy packages that are loaded after running code in a new process."""
    check = f"{code}\nimport sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout.strip().splitlines()[-1])


HELP = "import sys, runpy\nsys.argv = {argv!r}\ntry:\n    {run}\nexcept SystemExit as e:\n    assert not e.code"


@pytest.mark.parametrize(
    "code",
    [
        "import replaysim",
        HELP.format(argv=["replaysim", "--help"], run="runpy.run_module('replaysim', run_name='__main__')"),
        *[
            HELP.format(argv=[path.name, "--help"], run=f"runpy.run_path('studies/{path.name}', run_name='__main__')")
            for path in sorted((ROOT / "studies").glob("*.py"))
        ],
    ],
    ids=["import", "console", *[p.stem for p in sorted((ROOT / "studies").glob("*.py"))]],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert loaded(code) == []


def test_no_life_loads_the_compiler_of_torch() -> None:
    """As its optimisers do, seconds before the first step."""
    code = (
        "import sys; sys.path[:0] = ['tests', '.']\nimport small, replaysim as rs\n"
        "small.simulate(replay=rs.GenerativeReplay(), consolidation=rs.SynapticIntelligence(c=1.0))\n"
        "print('torch.optim.adam' in sys.modules, [m for m in sys.modules if m.startswith('torch._dynamo')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "True []"


def test_import_is_quick() -> None:
    def seconds(code: str) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds("import replaysim") - seconds("pass") < 0.3
