"""Trains the starter model from nothing: tokenizer, VAE, text model, UNet. `python -m workshop.starter.train WORK`.

Seeded and resumable: everything it has done so far lies in the folder WORK, and the same command goes on from there.
Knows torch, diffusers and the pictures of `scenes`; nothing is downloaded and nobody else's pictures are used.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import platform
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import torch

from engine.child import end_with_parent
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
    parser.add_argument(
        "--begin-with",
        type=Path,
        help="a finished model's folder: its text model stays, and its UNet learns on",
    )
    parser.add_argument("--text-steps", type=int, default=usual.text_steps)
    parser.add_argument("--unet-steps", type=int, default=usual.unet_steps)
    parser.add_argument("--unet-rate", type=float, default=usual.unet_rate)
    parser.add_argument("--pictures", type=int, default=usual.pictures)
    arguments = parser.parse_args()
    plan = Plan(
        seed=arguments.seed,
        text_steps=arguments.text_steps,
        unet_steps=arguments.unet_steps,
        unet_rate=arguments.unet_rate,
        pictures=arguments.pictures,
    )
    arguments.work.mkdir(parents=True, exist_ok=True)
    studio = Studio(folder=arguments.work, plan=plan, device=torch.device(arguments.device))
    train(studio, arguments.out or arguments.work / "model", arguments.begin_with)


def train(studio: Studio, out: Path, begin_with: Path | None = None) -> None:
    """All stages, each taken up where it was left; writes the finished folder to `out`.

    The VAE is trained in a process of its own, beside the text model and the UNet, each on half of the cores.
    """
    threads = max(1, torch.get_num_threads() // 2)
    torch.set_num_threads(threads)
    tokenizer = parts.tokenizer(words())
    with ProcessPoolExecutor(1, get_context("spawn"), _begin, (threads,)) as beside:
        vae_done = beside.submit(_train_vae, studio)
        if begin_with:
            text_encoder, text_seconds = text.load(begin_with)
        else:
            text_encoder, text_seconds = text.train_text(studio, tokenizer)
        pictures = autoencoder.code_pictures(studio.plan)
        unet, unet_seconds = teacher.train_unet(studio, pictures, tokenizer, text_encoder, begin_with)
        vae_done.result()
    vae, vae_seconds = autoencoder.train_vae(studio)  # read from the folder
    facts = {
        "plan": asdict(studio.plan),
        "text_minutes": round(text_seconds / 60, 1),
        "vae_minutes": round(vae_seconds / 60, 1),
        "unet_minutes": round(unet_seconds / 60, 1),
        "begun_with": begin_with is not None,
        "device": f"{studio.device.type}, {torch.get_num_threads()} threads, {platform.machine()}",
        "torch": torch.__version__,
        "tokens": parts.TOKENS,
    }
    export.write(out, vae=vae, unet=unet, text_encoder=text_encoder, tokenizer=tokenizer, facts=facts)
    card.write(out)
    studio.say(f"the model is in {out}")


def _begin(threads: int) -> None:
    """Before anything in the process of the VAE."""
    end_with_parent()
    torch.set_num_threads(threads)


def _train_vae(studio: Studio) -> None:
    """What is learned lies in the folder."""
    autoencoder.train_vae(studio)


def words() -> set[str]:
    """All that captions are made of."""
    lines = [*captions.vocabulary_text(), *COLOURS, *THINGS, *RADII, "a an on with background ,"]
    return {word for line in lines for word in line.split()}


if __name__ == "__main__":
    main()
