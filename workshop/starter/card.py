"""The model card of a starter model: what it is, how it was made, and how well it does, from the JSON files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from engine.checkpoints.source import STARTER_FOLDER
from engine.contract import STARTER
from workshop.starter.export import DESCRIPTION, FACTS, QUICK, write_json
from workshop.starter.scenes import COLOURS, RADII, RELATIONS, SIDE, THINGS

FIGURES = "evaluation.json"
CARD = "README.md"
QUICK_FACTS = "few_steps.json"
SHEET = "pictures.png"
SHOWN, ACROSS = {"singles": 16, "pairs": 8}, 6
"""What the sheet shows, and in how many columns."""
_SHEET_COLOURS = 256

_TEXT = """# Easel's starter model

A very small latent diffusion model that draws simple things in plain colours, and nothing else. It is there so that
Easel works at once, without a GPU or a download, and so that tests can ask whether a prompt was obeyed. For real
pictures name Stable Diffusion 1.5 or another checkpoint as `model` in `easel.toml`.

- **Things**: {things}.
- **Colours and backgrounds**: {colours}.
- **Sizes**: {sizes} ("medium" is what is not said). **Relations of two things**: {relations}.
- **Prompts** such as "a small red circle on a blue background", "red circle, blue background" or "a yellow heart left of
  a purple square". Anything else still gives a picture, only not the one you meant.

## What it is

An ordinary `StableDiffusionPipeline` in fp16: a CLIP text model of two layers ({tokens} tokens, one for each word it
knows), a UNet of three levels that predicts v, and a VAE whose latents say in thirteen numbers what each square of
16x16 pixels holds (`workshop/starter/latents.py`): its mean colour, the colours on both sides of an edge, and how far the edge is.
{size_mb:.1f} MB in all. It was made by `python -m workshop.starter.train WORK`: {origin}, seed {seed}, and pictures
that `workshop/starter/scenes.py` draws with Pillow. No other pictures, captions or weights were used.

| training | |
|---|---|
| text model, asked what lies where | {text_steps:,} steps of {text_batch} captions, {text_minutes:g} minutes |
| the VAE's decoder | {decoder_steps:,} steps of {decoder_pixels:,} pixels, in pieces at first |
| the VAE's encoder | {encoder_steps:,} steps of {encoder_pixels:,} pixels; {vae_minutes:g} minutes with the decoder |
| UNet, beside the VAE | {unet_steps:,} steps of {unet_batch} of {pictures:,} pictures, {unet_minutes:g} minutes |
| on | {device}; torch {torch} |
{remarks}{quick}
## How well it does

{figures}
{sheet}
## Limits

It knows no other words, no counting beyond two things, no positions on the page, no sizes for pairs, no style and no
people. Pairs share one plain background. A photo to start from comes back blurred. Pictures are best at 256x256.

Licence: MIT, as all of Easel.
"""
_QUICK = """
## In four steps

`loras/{lora}.safetensors` ({size_mb:.1f} MB) is a LoRA of rank {rank} for all layers of the UNet. With it the model draws in {sampler_steps} steps of
{sampler} without guidance (guidance 1): {sampler_steps} rows of the UNet for one picture, instead of the {usual_rows} that {usual_steps} guided steps take. It
was distilled from this model by `python -m workshop.starter.few_steps WORK`, with captions of the same kind and without
pictures, none of them of a held-out combination, seed {seed}.

| distillation | |
|---|---|
| rounds: the student draws {captions} captions, and the teacher finishes each of its steps with guidance {guidance:g} | {rounds:,} |
| steps of {batch} points on the teacher's trajectories, whose ends the student learns to say at once | {steps:,} |
| processor time | {minutes:g} minutes |
| on | {device}; torch {torch} |
{remarks}"""
_SHEET = """
![{count} pictures in rows of {across}]({file})

The first {singles} held-out prompts with one thing and the first {pairs} with two, one picture of each, none left out: the same as above.
"""
_UNKNOWN = "Not examined yet: `python -m workshop.starter.evaluate FOLDER --write`."


def folder_of(model: str) -> Path:
    """The folder that `--model` names; the shipped one for STARTER."""
    return STARTER_FOLDER if model == STARTER else Path(model)


def keep(folder: Path, results: Mapping[str, Any], sheet: Image.Image) -> None:
    """Writes the figures and a sheet of pictures beside the weights, and the card anew."""
    write_json(folder / FIGURES, results)
    sheet.quantize(_SHEET_COLOURS).save(folder / SHEET, optimize=True)
    write(folder)


def write(folder: Path) -> None:
    """README.md, from what the folder holds."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    figures, remarks = folder / FIGURES, facts.pop("remarks", "")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    text = _TEXT.format(
        **facts["plan"],
        **{key: value for key, value in facts.items() if key != "plan"},
        things=", ".join(THINGS),
        colours=", ".join(COLOURS),
        sizes=", ".join(RADII),
        relations=", ".join(RELATIONS),
        size_mb=size / 1e6,
        remarks=f"\n{remarks}\n" if remarks else "",
        origin="the text model and most of the UNet of an earlier one"
        if facts["begun_with"]
        else "random starting weights",
        quick=_quick(folder),
        sheet=_SHEET.format(**SHOWN, count=sum(SHOWN.values()), across=ACROSS, file=SHEET)
        if figures.is_file()
        else "",
        figures=table(json.loads(figures.read_text(encoding="utf-8"))) if figures.is_file() else _UNKNOWN,
    )
    (folder / CARD).write_text(text, encoding="utf-8")


def _quick(folder: Path) -> str:
    """How the LoRA for few steps was made, empty where there is none."""
    file = folder / QUICK_FACTS
    if not file.is_file():
        return ""
    facts = json.loads(file.read_text(encoding="utf-8"))
    remarks = facts.pop("remarks", "")
    return _QUICK.format(
        **facts["plan"],
        **{key: value for key, value in facts.items() if key != "plan"},
        lora=QUICK["lora"],
        sampler=QUICK["sampler"],
        sampler_steps=QUICK["steps"],
        usual_steps=DESCRIPTION["steps"],
        usual_rows=2 * DESCRIPTION["steps"],
        size_mb=(folder / "loras" / f"{QUICK['lora']}.safetensors").stat().st_size / 1e6,
        remarks=f"\n{remarks}\n" if remarks else "",
    )


def table(results: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    default, quick = results["default"], results.get("quick")
    rows = [
        ("background right", "background", "≥ 98 %"),
        ("colour of the thing right", "colour", "≥ 95 %"),
        ("thing recognised, of 16", "thing", "≥ 90 %"),
        ("overlap (IoU) of the thing with its ideal shape, median", "overlap", "≥ 92 %"),
        ("… of nine things in ten", "overlap_tenth", "≥ 80 %"),
        ("both things, both colours and their relation right", "pair", "≥ 85 %"),
        ("relation of the two colours right", "relation", ""),
        ("thing recognised whose colour the prompt leaves open", "open", ""),
    ]
    beside = {"guidance 1": results["unguided"]}
    if quick:
        steps = f"{quick['steps']} steps of {quick['sampler']}, guidance {quick['guidance_scale']:g}"
        beside |= {f"{steps}, `{quick['lora']}`": quick["with"], f"{steps}, without it": quick["without"]}
    how = (
        f"`python -m workshop.starter.evaluate`: {results['singles']} prompts with one thing and {results['pairs']} with two, "
        "whose combinations of thing, colour and background were held out of training, and "
        f"{results['open']} that leave a colour open; fixed seeds, through the engine, "
        f"{results['steps']} steps of {results['sampler']} where nothing else is said; read by a checker that knows only "
        "pixels and geometry."
    )
    lines = [
        how,
        "",
        f"| prompts | guidance {results['guidance_scale']:g} | goal | {' | '.join(beside)} |",
        "|---|---|---|" + "---|" * len(beside),
        *(
            f"| {words} | {default[key]:g} % | {goal} | {' | '.join(f'{each[key]:g} %' for each in beside.values())} |"
            for words, key, goal in rows
        ),
        "",
        "| other figures | |",
        "|---|---|",
        f"| pictures that keep a colour once it is named in the negative prompt | {results['negative']:g} % |",
        *(f"| one thing in its colour at {size} | {value:g} % |" for size, value in results["sizes"].items()),
        f"| seconds for one picture of 20 steps at {SIDE}x{SIDE} | {results['seconds']:g} |",
    ]
    if quick:
        lines.append(
            f"| seconds for one of {quick['steps']} steps with `{quick['lora']}` | {quick['seconds']:g} |"
        )
    return "\n".join(lines)
