"""Builds tiny upscalers with random weights, in the files that people download; the architectures are spandrel's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from engine import upscaler_file

KINDS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "compact": ("Compact", "Compact", {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_conv": 2}),
    "esrgan": ("ESRGAN", "ESRGAN", {"in_nc": 3, "out_nc": 3, "num_filters": 8, "num_blocks": 1}),
    "span": ("SPAN", "SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8}),
    "swinir": (
        "SwinIR",
        "SwinIR",
        {"img_size": 16, "window_size": 8, "depths": [2], "embed_dim": 12, "num_heads": [2]},
    ),
    "dat": ("DAT", "DAT", {"split_size": [8, 8], "embed_dim": 12, "depth": [2], "num_heads": [2]}),
    "cugan": ("RealCUGAN", "UpCunet2x", {}),
    "denoiser": ("SCUNet", "SCUNet", {"config": [2, 2, 2, 2, 2, 2, 2], "dim": 16}),
}
"""Ours -> (module, class, arguments) of `spandrel.architectures`."""
_SCALE = {"esrgan": "scale", "cugan": None, "denoiser": None}


def build(file: Path, kind: str = "compact", *, scale: int = 2, seed: int = 0) -> Path:
    """Writes an upscaler of that kind, whose pictures are not all of one colour, and returns the file."""
    torch: Any = import_module("torch")
    upscaler_file.package()
    module, name, arguments = KINDS[kind]
    told = _SCALE.get(kind, "upscale")
    torch.manual_seed(seed)
    made: Any = getattr(import_module(f"spandrel.architectures.{module}"), name)
    with upscaler_file.quietly():
        network = made(**arguments, **({told: scale} if told else {}), **_UPSAMPLER.get(kind, {}))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    import_module("safetensors.torch").save_file(network.state_dict(), file)
    return file


_UPSAMPLER: Mapping[str, Mapping[str, Any]] = {
    "swinir": {"upsampler": "pixelshuffledirect"},
    "dat": {"upsampler": "pixelshuffledirect"},
}


def spoiled(file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same file with other tensors."""
    files: Any = import_module("safetensors.torch")
    tensors = files.load_file(file)
    change(tensors)
    files.save_file(tensors, file)
    return file
