"""replaysim: a computational model of replay and memory consolidation.

Brain-inspired replay (van de Ven, Siegelmann & Tolias 2020) as a system of a cortex, a hippocampus with memory modes,
and a gated feedback pathway, with two ways of keeping old memories: synaptic consolidation and replay. Everything
below is loaded when it is first used, so that importing the package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "AbstractCortex": "cortex",
    "AbstractProtocol": "protocol",
    "Behaviour": "recorder",
    "Brain": "brain",
    "BrainPlan": "brain",
    "ContextGating": "context_gating",
    "CorticalActivity": "recorder",
    "CurrentInputReplay": "replay",
    "DataError": "errors",
    "DenseCortex": "cortex",
    "ElasticWeightConsolidation": "elastic",
    "ExactReplay": "replay",
    "Gating": "gating",
    "GenerativeReplay": "replay",
    "HippocampalCodes": "recorder",
    "Learning": "learning",
    "Light": "retina",
    "LogError": "errors",
    "MissingDataError": "errors",
    "OnlineElasticWeightConsolidation": "elastic",
    "PermutedMNIST": "permuted",
    "PermutedProtocol": "permuted",
    "ReplayActivity": "recorder",
    "ReplaysimError": "errors",
    "SessionProtocol": "sessions",
    "SettingError": "errors",
    "SimulationResult": "simulation",
    "SplitCIFAR10": "protocol",
    "SplitCIFAR100": "protocol",
    "SplitDigits": "protocol",
    "SplitMNIST": "protocol",
    "SplitProtocol": "protocol",
    "StimulusSet": "stimuli",
    "SynapticImportance": "recorder",
    "SynapticIntelligence": "consolidation",
    "VisualCortex": "visual_cortex",
    "brain_inspired": "brains",
    "classifier": "brains",
    "generative_pair": "brains",
    "join_logs": "joining",
    "load_brain": "brain_files",
    "open_log": "log",
    "save_brain": "brain_files",
    "simulate": "simulation",
    "simulate_once": "resumption",
}
__all__ = ["__version__", "presets", *sorted(_WHERE)]

if TYPE_CHECKING:
    from . import presets
    from .brain import Brain, BrainPlan
    from .brain_files import load_brain, save_brain
    from .brains import brain_inspired, classifier, generative_pair
    from .consolidation import SynapticIntelligence
    from .context_gating import ContextGating
    from .cortex import AbstractCortex, DenseCortex
    from .elastic import ElasticWeightConsolidation, OnlineElasticWeightConsolidation
    from .errors import DataError, LogError, MissingDataError, ReplaysimError, SettingError
    from .gating import Gating
    from .joining import join_logs
    from .learning import Learning
    from .log import open_log
    from .permuted import PermutedMNIST, PermutedProtocol
    from .protocol import AbstractProtocol, SplitCIFAR10, SplitCIFAR100, SplitDigits, SplitMNIST, SplitProtocol
    from .recorder import Behaviour, CorticalActivity, HippocampalCodes, ReplayActivity, SynapticImportance
    from .replay import CurrentInputReplay, ExactReplay, GenerativeReplay
    from .resumption import simulate_once
    from .retina import Light
    from .sessions import SessionProtocol
    from .simulation import SimulationResult, simulate
    from .stimuli import StimulusSet
    from .visual_cortex import VisualCortex


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
        globals()[name] = value
        return value
    try:
        return import_module(f".{name}", __name__)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return __all__
