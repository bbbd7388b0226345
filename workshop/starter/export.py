"""Writes a trained starter model as an ordinary StableDiffusionPipeline folder in fp16; knows no training."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from workshop.starter.parts import NOISE
from workshop.starter.scenes import SIDE

FACTS = "training.json"
QUICK: dict[str, Any] = {"steps": 4, "guidance_scale": 1.0, "sampler": "LCM", "lora": "four-steps"}
"""How it draws in few steps, with the LoRA of this name that `few_steps` makes."""
DESCRIPTION: dict[str, Any] = {
    "title": "Easel starter",
    "description": "draws simple things in plain colours, and nothing else",
    "width": SIDE,
    "height": SIDE,
    "steps": 20,
    "guidance_scale": 4.0,
    "side_min": 64,
    "side_max": 2 * SIDE,
    "pixels_max": 4 * SIDE * SIDE,
    "redraws_enlarged": False,
    "quick": QUICK,
}


def write(
    folder: Path, *, vae: Any, unet: Any, text_encoder: Any, tokenizer: Any, facts: dict[str, Any]
) -> None:
    """The folder in the hub's layout, safetensors only, with `easel.json` and the facts of its training."""
    torch: Any = import_module("torch")
    diffusers: Any = import_module("diffusers")
    scheduler = getattr(diffusers, NOISE["_class_name"])
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=scheduler.from_config(NOISE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    # diffusers writes every default too, which would look like the model's own choice to other samplers.
    write_json(folder / "scheduler" / "scheduler_config.json", NOISE)
    write_json(folder / "easel.json", DESCRIPTION)
    write_json(folder / FACTS, facts)


def write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
