"""Stable Diffusion 1.5's architecture with random weights as one file by the original names, which every program reads.

Knows no program. Beside the file lie the configurations that such a file lacks, as the hub's cache would hold them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from engine.checkpoints.single_file import SD1
from workshop.bench import sd15
from workshop.bench.peers import original_format

FILE, CACHE = "sd15-random.safetensors", "hub"


def file_of(folder: Path) -> Path:
    return folder / FILE


def use_cache(folder: Path) -> None:
    """From now on this process finds the base's configurations here; before anything asks the hub."""
    os.environ["HF_HUB_CACHE"] = str(folder / CACHE)


def make(folder: Path, assemble: Callable[[Any], Any] = sd15.assemble) -> Path:
    """The file in half precision, as such files are shared; not made again where it is there."""
    file = file_of(folder)
    if file.exists():
        return file
    torch: Any = import_module("torch")
    torch.manual_seed(0)
    pipeline = assemble(torch.device("cpu"))
    sd15.brighten(pipeline.vae)
    _write_base(pipeline, folder / CACHE, SD1.bases[0])
    weights = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in chain(
            original_format.of_unet(pipeline.unet.state_dict()),
            original_format.of_vae(pipeline.vae.state_dict()),
            original_format.of_clip(pipeline.text_encoder.state_dict()),
        )
    }
    partial = file.with_suffix(".part")
    return original_format.save(weights, partial).replace(file)


def _write_base(pipeline: Any, cache: Path, name: str) -> None:
    """Configurations and the tokenizer alone, under the name of the model that such files were trained from."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / "random"
    for part in ("unet", "vae", "text_encoder", "scheduler", "tokenizer"):
        component = getattr(pipeline, part)
        save = component.config.save_pretrained if part == "text_encoder" else None
        (save or getattr(component, "save_config", component.save_pretrained))(snapshot / part)
    pipeline.save_config(snapshot)
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(snapshot.name, encoding="ascii")
