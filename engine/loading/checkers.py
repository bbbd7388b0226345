"""Loads what looks at finished pictures of any model; knows no model that draws."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from PIL import Image

from engine import errors
from engine.checkpoints import checkers
from engine.checkpoints.checkers import ClipFiles, ScoreFile
from engine.contract import EngineSettings
from engine.device.choice import Choice
from engine.errors import BrokenModel
from engine.families.base import Checker
from engine.loading.load import OnProgress, untold


def load(settings: EngineSettings, choice: Choice, on_progress: OnProgress = untold) -> Checker | None:
    """Ready to look, tried out; None where none is asked for. Raises BrokenModel, or Unreachable where the hub is."""
    found = checkers.find(settings, lambda share: on_progress("downloading the safety checker", share))
    if found is None:
        return None
    on_progress("loading the safety checker", None)
    try:
        checker = (
            _scoring(found, settings.flagged_from) if isinstance(found, ScoreFile) else _clip(found, choice)
        )
        checker.score(Image.new("RGB", (512, 512), "grey"))
    except Exception as error:
        errors.check_device(error)
        name = found.path.name if isinstance(found, ScoreFile) else found.network.name
        why = str(error) if isinstance(error, BrokenModel) else type(error).__name__
        raise checkers.broken(
            f"“{name}” can't be loaded ({why}): download it again, or correct checker under [engine]."
        ) from error
    return checker


def _clip(found: ClipFiles, choice: Choice) -> Checker:
    """In the processor's memory it computes in float32: all else is slow there."""
    from engine.families.checkers import ClipChecker

    torch: Any = import_module("torch")
    module: Any = import_module("diffusers.pipelines.stable_diffusion.safety_checker")
    transformers: Any = import_module("transformers")
    network, told = module.StableDiffusionSafetyChecker.from_pretrained(
        found.network,
        dtype=torch.float16 if choice.device.type == "cuda" else torch.float32,
        use_safetensors=True,
        variant=found.variant,
        local_files_only=True,
        output_loading_info=True,
    )
    if missing := told["missing_keys"]:
        raise BrokenModel(f"its weights lack {len(missing)} of its parts")
    extractor = transformers.CLIPImageProcessor.from_pretrained(found.extractor, local_files_only=True)
    return ClipChecker(network.to(choice.device).eval(), extractor, choice.device)


def _scoring(found: ScoreFile, flagged_from: float) -> Checker:
    from engine.families.checkers import CROP, ScoreChecker
    from engine.openvino.networks import Scorer

    return ScoreChecker(Scorer(found.path, given=(1, CROP, CROP, 3), made=(1, 2)), flagged_from)
