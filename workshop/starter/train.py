"""Trains the starter model from nothing: tokenizer, VAE, text model, UNet. `python -m workshop.starter.train WORK`.

Seeded and resumable: everything it has done so far lies in the folder WORK, and the same command goes on from there.
Knows torch, diffusers and the pictures of `scenes`; nothing is downloaded and nobody else's pictures are used.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from workshop.starter import autoencoder, captions, card, export, parts, teacher, text
from workshop.starter.scenes import COLOURS, RADII, THINGS
from workshop.starter.studio import Plan, Studio


def main() -> None:
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m workshop.starter.train", description=__doc__)
    parser.add_argument("work", type=Path, help="folder for everything unfinished; go on by naming it again")
    parser.add_argument("--out", type=Path, help="where the model goes; WORK/model if not given")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--vae-steps", type=int, default=usual.vae_steps)
    parser.add_argument("--text-steps", type=int, default=usual.text_steps)
    parser.add_argument("--unet-steps", type=int, default=usual.unet_steps)
    parser.add_argument("--pictures", type=int, default=usual.pictures)
    arguments = parser.parse_args()
    plan = Plan(
        seed=arguments.seed,
        vae_steps=arguments.vae_steps,
        text_steps=arguments.text_steps,
        unet_steps=arguments.unet_steps,
        pictures=arguments.pictures,
    )
    arguments.work.mkdir(parents=True, exist_ok=True)
    studio = Studio(folder=arguments.work, plan=plan, device=torch.device(arguments.device))
    train(studio, arguments.out or arguments.work / "model")


def train(studio: Studio, out: Path) -> None:
    """All stages, each taken up where it was left; writes the finished folder to `out`."""
    tokenizer = parts.tokenizer(words())
    text_encoder, text_seconds = text.train_text(studio, tokenizer)
    vae, vae_seconds = autoencoder.train_vae(studio)
    pictures = autoencoder.code_pictures(studio)
    unet, unet_seconds = teacher.train_unet(studio, pictures, tokenizer, text_encoder)
    facts = {
        "plan": asdict(studio.plan),
        "text_minutes": round(text_seconds / 60, 1),
        "vae_minutes": round(vae_seconds / 60, 1),
        "unet_minutes": round(unet_seconds / 60, 1),
        "device": f"{studio.device.type}, {torch.get_num_threads()} threads, {platform.machine()}",
        "torch": torch.__version__,
        "tokens": parts.TOKENS,
    }
    export.write(out, vae=vae, unet=unet, text_encoder=text_encoder, tokenizer=tokenizer, facts=facts)
    card.write(out)
    studio.say(f"the model is in {out}")


def words() -> set[str]:
    """All that captions are made of."""
    lines = [*captions.vocabulary_text(), *COLOURS, *THINGS, *RADII, "a an on with background ,"]
    return {word for line in lines for word in line.split()}


if __name__ == "__main__":
    main()
