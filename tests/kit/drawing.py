"""Imported for what it imports: all that an engine does before it reads its model."""

from engine.contract import EngineSettings
from engine.device import fingerprint

fingerprint.prepare_environment(EngineSettings(model="", spool=""))

import diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion  # noqa: E402  after the environment
import diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl  # noqa: E402
import torch  # noqa: E402

__all__ = ["diffusers", "torch"]
