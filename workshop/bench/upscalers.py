"""`python -m workshop.bench.upscalers`: what enlarging an image takes by torch and by OpenVINO, by turns in one run.

Well-known architectures in their real size with random weights, which take as long as the real ones, or a file that is named.
Each is opened as an engine opens it, with converting, comparing and all. Processors' seconds are told, which a busy machine
changes less, and the clock's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from engine import upscaler_file
from engine.checkpoints.source import Source
from engine.contract import EngineSettings, GenerationRequest, ModelInfo, Start
from engine.device import fingerprint
from engine.errors import BrokenModel
from engine.families.upscaler import UpscaleFamily
from engine.loading import load, upscalers
from engine.loading.opening import Offered, Opener
from engine.openvino.enlarging import OpenVinoUpscaler
from engine.pictures import decoding, inputs
from workshop.bench import workloads
from workshop.bench.options import one_of_many

NETWORKS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "compact": ("Compact", "Compact", {"num_feat": 64, "num_conv": 16, "upscale": 4}),
    "span": ("SPAN", "SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 48, "upscale": 4}),
    "swinir": (
        "SwinIR",
        "SwinIR",
        {
            "upscale": 2,
            "img_size": 64,
            "window_size": 8,
            "depths": [6] * 4,
            "embed_dim": 60,
            "num_heads": [6] * 4,
            "upsampler": "pixelshuffledirect",
        },
    ),
    "esrgan": ("ESRGAN", "ESRGAN", {"num_filters": 64, "num_blocks": 23, "scale": 4}),
}
"""Ours -> (module, class, arguments) of `spandrel.architectures`: realesr-animevideov3, SPAN, SwinIR-S, RealESRGAN_x4plus."""
HEAD = (
    "| network | image | rounds | torch, processors' seconds | OpenVINO | torch of OpenVINO | by the clock | furthest value | "
    "ready after |\n|---|---|---|---|---|---|---|---|---|"
)
EXIT_FAILED = 1
