"""Imports all that an engine does before it reads its model."""

import gc
from importlib import import_module

from engine.contract import EngineSettings
from engine.device import fingerprint

fingerprint.prepare_environment(EngineSettings(model="", spool=""))
for name in (
    "torch",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl",
    "engine.families.sd",
    "engine.families.sdxl",
    "engine.loading.opening",
):
    import_module(name)
# What transformers makes of a thousand patterns when it loads its first model, and keeps.
import_module("transformers.conversion_mapping").get_checkpoint_conversion_mapping("clip")
gc.collect()
gc.freeze()  # a fork that looked through all of this for garbage would copy it
