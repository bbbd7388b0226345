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
):
    import_module(name)
gc.collect()
gc.freeze()  # a fork that looked through all of this for garbage would copy it
