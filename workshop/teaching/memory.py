"""What a card needs to teach a LoRA, computed on the real architectures without numbers. `python -m workshop.teaching.memory`.

The UNet in bfloat16, one picture at a time. Nothing here was measured on a card.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch

from engine.training.guests import SPARE_BYTES
from engine.training.memory import takes
from workshop.bench import sd15, sdxl

RANK = 16


def gigabytes(name: str, side: int, *, twice: bool) -> float:
    """GB at one picture of that many pixels a side. `twice`: with gradient checkpointing."""
    unet = {"sd15": sd15, "sdxl": sdxl}[name].assemble(torch.device("meta")).unet.to(torch.bfloat16)
    told = takes(unet, side=side // 8, batch=1, rank=RANK, layers="attention", twice=twice)
    return (told.weights + told.learning + told.activations + SPARE_BYTES) / 1e9


def main() -> None:
    print("| model | side | with checkpointing | without |\n|---|---|---|---|")
    for name, side in (("sd15", 512), ("sdxl", 1024)):
        once, twice = (gigabytes(name, side, twice=each) for each in (False, True))
        print(f"| {name} | {side} | {twice:.1f} GB | {once:.1f} GB |", flush=True)


if __name__ == "__main__":
    main()
