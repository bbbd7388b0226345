"""Tiny decoders beside models: where they lie, and whether their files are sound; loads no weights, knows no torch.

A model's own is `vae_tiny` in its folder. Those of a whole kind of model lie in `vae_approx` in the folder for models, as
ComfyUI's do, by the names that they are published under. Each is a folder that diffusers reads an AutoencoderTiny from; of
a kind it may be the file that ComfyUI reads, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.checkpoints import folder as checkpoint
from engine.checkpoints.architectures import SD, SDXL
from engine.checkpoints.header import read_header
from engine.checkpoints.source import Source
from engine.contract import TINY, ModelInfo
from engine.errors import BrokenModel

OWN = "vae_tiny"
"""In a model's folder."""
FOLDER = "vae_approx"
"""In the folder for models."""
OF_KIND = {SD.family: "taesd", SDXL.family: "taesdxl"}
"""Family -> the folder there, or the beginning of the file's name."""
OF_A_FILE = "_decoder.safetensors"
STEM = "diffusion_pytorch_model"
_CLASS = "AutoencoderTiny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approx:
    """A tiny decoder whose files are complete."""

    path: Path
    """A folder, or a file with nothing but the weights of a decoder."""
    variant: str | None = None
    """Of the weights in a folder."""

    @property
    def name(self) -> str:
        """As people know it."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def is_own(self) -> bool:
        """Whether it was put there for this model alone."""
        return self.path.name == OWN

    @property
    def is_file(self) -> bool:
        return self.path.name.endswith(OF_A_FILE)

    @property
    def weights(self) -> Path:
        middle = f".{self.variant}" if self.variant else ""
        return self.path if self.is_file else self.path / f"{STEM}{middle}.safetensors"


def find(source: Source, family: str, models: str | None) -> Approx | None:
    """The model's own, else that of its kind in the folder for `models`; None where there is neither. Raises BrokenModel."""
    places: list[Path] = []
    if source.on_disk is not None:
        places.append(source.on_disk / OWN)
    if models is not None and family in OF_KIND:
        place = Path(models) / FOLDER / OF_KIND[family]
        places += [place, place.with_name(f"{place.name}{OF_A_FILE}")]
    return next((_checked(place) for place in places if place.exists()), None)


def check(source: Source, info: ModelInfo, models: str | None) -> None:
    """Raises BrokenModel where the model's pictures are to be decoded by a tiny decoder that is not there, or damaged."""
    if info.decoder == TINY and find(source, info.family, models) is None:
        raise missing(info)


def missing(info: ModelInfo) -> BrokenModel:
    """There is none that could decode the model's pictures."""
    return BrokenModel(
        f"“decoder” of the model {info.title} is “{TINY}”, but no tiny decoder fits it: put one into {OWN} in its folder "
        f"or into {FOLDER}/{OF_KIND[info.family]} in the folder for models, or leave “decoder” out."
    )


def _checked(place: Path) -> Approx:
    root, name = place.parent, place.name
    if place.name.endswith(OF_A_FILE):
        read_header(place, f"The tiny decoder {root.name}/{name}")
        return Approx(path=place)
    described = checkpoint.read_json(root, f"{name}/config.json").get("_class_name")
    if described != _CLASS:
        raise BrokenModel(
            f"{name}/config.json of the model “{root.name}” describes a {str(described)[:60]}, but a tiny decoder is an "
            f"{_CLASS}: put such a one there, or take the folder away."
        )
    return Approx(path=place, variant=checkpoint.variant(root, f"{name}/{STEM}", prefer_fp16=False))
