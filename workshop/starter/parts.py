"""The parts of the starter model, freshly made: ordinary classes of diffusers and transformers, only small; knows no data."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from workshop.starter.scenes import SIDE

TOKENS = 32
"""Tokens a prompt may have, begin and end included."""
CELL, CHANNELS = 16, 13
"""Pixels a side that one latent pixel stands for, and the numbers it has: see `latents`."""
SCALING = 1.5
"""What latents are multiplied by, so that their standard deviation is about 1."""
WIDTH = 128
"""Of the text model, and of what the UNet looks at."""
NOISE: dict[str, Any] = {
    "_class_name": "DPMSolverMultistepScheduler",
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.026,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}
"""The last step's signal is 0.5 % of its noise: so little that it says nothing about the picture, as with zero terminal
SNR (Lin et al. 2023, arXiv 2305.08891), and yet finite, so that every sampler can begin there."""


def vae() -> Any:
    """16 times smaller a side; without attention, since the pictures are flat."""
    diffusers: Any = import_module("diffusers")
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 5,
        up_block_types=("UpDecoderBlock2D",) * 5,
        block_out_channels=(12, 24, 48, 96, 128),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=4,  # more groups would tell less of a plain picture's colour
        mid_block_add_attention=False,
        sample_size=SIDE,
        scaling_factor=SCALING,
    )


def unet() -> Any:
    """Predicts v (Salimans and Ho 2022, arXiv 2202.00512). Attention from 8x8 latents down: that is where words matter."""
    diffusers: Any = import_module("diffusers")
    return diffusers.UNet2DConditionModel(
        sample_size=SIDE // CELL,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 96, 128),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=(3, 3, 4),  # a misnomer of diffusers: the number of heads
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",  # the step's noise decides how much of the latents is handed on
    )


def text_encoder(tokenizer: Any) -> Any:
    """Its embeddings begin much larger than CLIP's own: otherwise what its layers add drowns which word it was."""
    transformers: Any = import_module("transformers")
    model = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    embeddings = model.get_input_embeddings()
    embeddings.weight.data.normal_(std=0.7)
    positions = next(part for name, part in model.named_modules() if name.endswith("position_embedding"))
    positions.weight.data.normal_(std=0.2)
    return model


# ------------------------------------------------------------------ tokenizer


def tokenizer(words: Iterable[str]) -> Any:
    """Byte-level BPE with a token for each of these words; any other text is spelled in smaller pieces."""
    merges: list[tuple[str, str]] = []
    for word in sorted(set(words)):
        left, *rest = _pieces(word, merges)
        for piece in rest:
            merges.append((left, piece))
            left += piece
    return clip_tokenizer(merges, TOKENS)


def _pieces(word: str, merges: list[tuple[str, str]]) -> list[str]:
    """The word as byte-pair encoding leaves it: the earliest merge first (Sennrich et al. 2016, arXiv 1508.07909)."""
    pieces = [*word[:-1], f"{word[-1]}</w>"]
    for left, right in merges:
        at = 0
        while at < len(pieces) - 1:
            if (pieces[at], pieces[at + 1]) == (left, right):
                pieces[at : at + 2] = [left + right]
            at += 1
    return pieces


def clip_tokenizer(merges: list[tuple[str, str]], length: int) -> Any:
    """A CLIPTokenizer of every byte, alone and at the end of a word, and these merges: encodes any text."""
    transformers: Any = import_module("transformers")
    letters = list(byte_letters())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)


def byte_letters() -> Iterable[str]:
    """The printable letter that byte-level BPE writes for each of the 256 bytes."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (number for number in range(256) if number not in plain)
    return [chr(byte) for byte in plain] + [chr(256 + offset) for offset, _ in enumerate(others)]
