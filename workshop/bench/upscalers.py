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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

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
from workshop.bench.options import count, some_of

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
            "mlp_ratio": 2.0,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Seconds that an image took."""

    processors: float
    clock: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """One network both ways, in as many rounds as there are."""

    torch: Sequence[Spent]
    openvino: Sequence[Spent]
    furthest: int
    """Of 255, between the two pictures."""
    ready_s: float
    """From when it was opened until OpenVINO was in use."""

    def row(self, name: str, size: tuple[int, int]) -> str:
        ratios = [
            one.processors / other.processors for one, other in zip(self.torch, self.openvino, strict=True)
        ]
        by_clock = [one.clock / other.clock for one, other in zip(self.torch, self.openvino, strict=True)]
        middle = [statistics.median(each.processors for each in side) for side in (self.torch, self.openvino)]
        return (
            f"| {name} | {size[0]}×{size[1]} | {len(self.torch)} | {middle[0]:.2f} | {middle[1]:.2f} | "
            f"**{statistics.median(ratios):.1f}** ({min(ratios):.1f} to {max(ratios):.1f}) | "
            f"{statistics.median(by_clock):.1f} | {self.furthest} of 255 | {self.ready_s:.0f} s |"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; prints a table."""
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.upscalers", description=__doc__)
    parser.add_argument("--networks", type=some_of(tuple(NETWORKS)), default=tuple(NETWORKS))
    parser.add_argument("--file", type=Path, help="an upscaler's file, instead of those")
    parser.add_argument("--pixels", type=count, default=256, help="a side of the image")
    parser.add_argument("--rounds", type=count, default=3)
    options = parser.parse_args(arguments)
    print(HEAD, flush=True)
    code = 0
    with tempfile.TemporaryDirectory(prefix="easel-upscalers-") as folder:
        for name in [options.file.stem] if options.file else options.networks:
            try:
                file = options.file or made(Path(folder) / f"{name}.safetensors", name)
                both = measured(file, Path(folder), options.pixels, options.rounds)
            except (BrokenModel, RuntimeError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                code = EXIT_FAILED
                continue
            print(both.row(name, (options.pixels, options.pixels)), flush=True)
    return code


def made(file: Path, name: str) -> Path:
    """One of NETWORKS with random weights. Raises BrokenModel where spandrel lacks."""
    import torch

    upscaler_file.package()
    module, kind, arguments = NETWORKS[name]
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    with upscaler_file.quietly():
        network: Any = getattr(import_module(f"spandrel.architectures.{module}"), kind)(**arguments)
    weights = {key: weight.contiguous() for key, weight in network.state_dict().items()}
    import_module("safetensors.torch").save_file(weights, file)
    return file


def measured(file: Path, folder: Path, pixels: int, rounds: int) -> Both:
    """Raises BrokenModel for files that are no good, and RuntimeError where OpenVINO is not used."""
    settings = EngineSettings(
        model="none", spool=str(folder), data=str(folder), device="cpu", mode="wide", runtime="openvino"
    )
    fingerprint.prepare_environment(settings)
    info = upscalers.describe(file)
    opener = Opener(settings, {info.id: Offered(source=Source.upscaler(file), info=info)})
    begin = time.monotonic()
    family = load.wholly(opener.open(info.id)).family
    assert isinstance(family, UpscaleFamily)
    runtime = family.runtime
    if isinstance(runtime, OpenVinoUpscaler):
        runtime.wait()
    if runtime is None or not runtime.is_in_use:
        raise RuntimeError("OpenVINO is not used; the log says why")
    ready_s = time.monotonic() - begin
    request = _request(info, folder, pixels)
    pictures: dict[bool, Image.Image] = {}

    def enlarge(*, hastened: bool) -> None:
        family.runtime = runtime if hastened else None
        pictures[hastened] = _enlarged(family, request, folder)

    for hastened in (False, True):  # the first of a size takes longer
        enlarge(hastened=hastened)
    turns = [
        (_spent(lambda: enlarge(hastened=False)), _spent(lambda: enlarge(hastened=True)))
        for _ in range(rounds)
    ]
    return Both(
        torch=[one for one, _ in turns],
        openvino=[other for _, other in turns],
        furthest=_furthest(pictures[False], pictures[True]),
        ready_s=ready_s,
    )


def _request(info: ModelInfo, folder: Path, pixels: int) -> GenerationRequest:
    (image, *_) = workloads.pictures((pixels, pixels))
    digest = inputs.keep(folder / inputs.FOLDER, image)
    size = info.upscaled(pixels, pixels, info.scale)
    return info.request(prompt="", seed=0, size=size, start=Start(image=digest, upscale=info.scale))


def _enlarged(family: UpscaleFamily, request: GenerationRequest, folder: Path) -> Image.Image:
    canvas = family.prepare(request, 0, decoding.begun(folder / inputs.FOLDER, request))
    while canvas.left:
        (prediction,) = family.predict([canvas], padded=None)
        family.advance(canvas, prediction, look=False)
    return family.decode(canvas, sparing=False)


def _spent(act: Callable[[], object]) -> Spent:
    clock, processors = time.perf_counter(), time.process_time()
    act()
    return Spent(processors=time.process_time() - processors, clock=time.perf_counter() - clock)


def _furthest(one: Image.Image, other: Image.Image) -> int:
    bands = cast("Sequence[tuple[int, int]]", ImageChops.difference(one, other).getextrema())
    return max(high for _, high in bands)


if __name__ == "__main__":
    sys.exit(main())
