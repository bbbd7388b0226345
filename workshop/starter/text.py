"""Teaches the starter model's text model what a caption says: which thing of which colour lies where; knows no pictures.

Stable Diffusion's text model was taught before its UNet, and this one is too: a UNet that must find out what words mean
while it learns to draw needs many times the steps. What it reads at the end of a caption is answered by linear heads,
which are thrown away afterwards.
"""

# torch and transformers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workshop.starter import captions, parts
from workshop.starter.export import FACTS
from workshop.starter.scenes import COLOURS, RADII, RELATIONS, THINGS, Scene, sample
from workshop.starter.studio import Studio, learn

PLACES = ((0, 0), *RELATIONS.values())
"""Where a thing can lie, (x, y) from the middle: alone there, or to one of four sides."""
_HEADS = (*((len(THINGS) + 1, len(COLOURS) + 1) * len(PLACES)), len(RADII), len(COLOURS))
"""Answers of each head: thing and colour (or none) at every place, size of the first thing, colour of the background."""


def train_text(studio: Studio, tokenizer: Any) -> tuple[Any, float]:
    """The text model, and the seconds it took."""
    plan = studio.plan
    torch.manual_seed(plan.seed)
    models = torch.nn.ModuleDict(
        {"text": parts.text_encoder(tokenizer), "heads": torch.nn.Linear(parts.WIDTH, sum(_HEADS))}
    ).to(studio.device)
    optimizer = torch.optim.AdamW(
        models.parameters(), plan.text_rate, betas=(0.9, 0.98), weight_decay=1e-2, fused=True
    )

    def loss_of(step: int) -> Tensor:
        random = Random(f"{plan.seed}/text/{step}")
        scenes = [sample(random, pairs=plan.pairs) for _ in range(plan.text_batch)]
        texts = [
            "" if random.random() < plan.empty_captions else captions.describe(s, random) for s in scenes
        ]
        states = embeddings(models["text"], tokenizer, texts, studio.device)
        return _loss(models["heads"](states[:, -1]), scenes)

    seconds = learn(studio, "text", models, optimizer, plan.text_steps, loss_of)
    return models["text"].eval(), seconds


def load(folder: Path) -> tuple[Any, float]:
    """The text model of a finished model's folder in float32, and the seconds that it took."""
    transformers: Any = import_module("transformers")
    model = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return model.eval(), 60 * facts["text_minutes"]


def embeddings(model: Any, tokenizer: Any, texts: list[str], device: torch.device) -> Tensor:
    """(n, tokens, width), as the pipeline computes them."""
    tokens = tokenizer(
        texts, padding="max_length", max_length=parts.TOKENS, truncation=True, return_tensors="pt"
    )
    return model(tokens.input_ids.to(device))[0]


def _loss(answers: Tensor, scenes: list[Scene]) -> Tensor:
    """Mean cross entropy of all heads."""
    right = torch.tensor([_right(scene) for scene in scenes], device=answers.device)
    heads = answers.split(_HEADS, dim=1)
    losses = [functional.cross_entropy(head, right[:, n]) for n, head in enumerate(heads)]
    return torch.stack(losses).mean()


def _right(scene: Scene) -> list[int]:
    """The right answer of each head."""
    lies: dict[tuple[int, int], tuple[int, int]] = {}
    x, y = RELATIONS[scene.relation] if scene.relation else (0, 0)
    for placed, spot in zip(scene.things, ((x, y), (-x, -y)), strict=False):
        lies[spot] = list(THINGS).index(placed.thing) + 1, list(COLOURS).index(placed.colour) + 1
    answers = [answer for place in PLACES for answer in lies.get(place, (0, 0))]
    return [*answers, list(RADII).index(scene.things[0].size), list(COLOURS).index(scene.background)]
