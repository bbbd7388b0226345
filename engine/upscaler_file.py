"""An upscaler's file: which architecture it is, and its network; knows spandrel, no folder of models and no device.

Spandrel tells by a file's tensors which of some forty architectures it is. Only its own package is used, whose licence is
MIT, and only safetensors: other formats can run foreign code when they are opened.
"""

from __future__ import annotations

import importlib.metadata
import sys
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from engine.checkpoints import header
from engine.contract import UPSCALE_MAX
from engine.errors import BrokenModel

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "upscalers"
"""Of the folder for models."""
MISSING = "To enlarge with such files Easel needs spandrel: run “pip install --no-deps spandrel” in its environment."
_TENSORS_MAX = 20_000
SPARE_NUMBERS = 200_000
"""That a network may have besides twice those of its file: some share or rearrange what they load."""


def version() -> str:
    return importlib.metadata.version("spandrel")


def recognised(file: Path) -> Any:
    """Its network without its numbers, as spandrel's `ImageModelDescriptor`. Raises BrokenModel."""
    return _checked(file, _recognised(file))


def built(file: Path) -> Any:
    """Its network with its numbers, on the CPU. Raises BrokenModel."""
    return _checked(file, _built(file))


def filled(pixels: Tensor, requirements: Any) -> Tensor:
    """An image, filled up to a size that a network with these `size_requirements` takes, as spandrel does."""
    from torch.nn.functional import pad

    height, width = pixels.shape[-2:]
    across, down = requirements.get_padding(width, height)
    mirrored = min(across, width - 1), min(down, height - 1)
    pixels = pad(pixels, (0, mirrored[0], 0, mirrored[1]), "reflect")
    return pad(pixels, (0, across - mirrored[0], 0, down - mirrored[1]), "replicate")


def _checked(file: Path, network: Any) -> Any:
    """Only what makes a larger picture of any picture."""
    if type(network).__name__ != "ImageModelDescriptor" or network.purpose != "SR" or network.scale < 2:
        purpose = {"SR": "a network that keeps the size", "FaceSR": "a network for faces alone"}.get(
            network.purpose, f"a network for {network.purpose.lower()}"
        )
        raise BrokenModel(f"“{file.name}” holds {purpose}, no upscaler: take it out of {FOLDER}.")
    if network.scale > UPSCALE_MAX or (network.input_channels, network.output_channels) != (3, 3):
        raise BrokenModel(
            f"“{file.name}” takes {network.input_channels} channels and makes {network.output_channels} of "
            f"{network.scale} times the size, but pictures have 3 and grow at most {UPSCALE_MAX} times: "
            f"take it out of {FOLDER}."
        )
    return network


def _recognised(file: Path) -> Any:
    """The network without its numbers: made on torch's meta device, it takes neither memory nor time."""
    import torch

    shapes = _shapes(file)
    try:
        with (
            torch.device("meta"),
            _no_larger_than(sum(shape.numel() for shape in shapes.values())),
            quietly(),
        ):
            return _registry().load(shapes)
    except _TooLarge:
        raise BrokenModel(
            f"“{file.name}” promises a network much larger than itself: {header.AGAIN}."
        ) from None
    except Exception as error:  # noqa: BLE001 - some architectures need real numbers to be built at all
        _refuse_unknown(file, error)
        return _built(file)


def _built(file: Path) -> Any:
    """The network with its numbers, on the CPU."""
    files: Any = import_module("safetensors.torch")  # it has no types
    try:
        shapes = _shapes(file)
        with _no_larger_than(sum(shape.numel() for shape in shapes.values())), quietly():
            return _registry().load(_canonical(files.load_file(file)))
    except Exception as error:
        _refuse_unknown(file, error)
        raise BrokenModel(
            f"“{file.name}” can't be loaded as an upscaler ({type(error).__name__}): "
            f"{header.AGAIN}, or take it out of {FOLDER}."
        ) from error


def _refuse_unknown(file: Path, error: Exception) -> None:
    if isinstance(error, BrokenModel):
        raise error
    if type(error).__name__ == "UnsupportedModelError":
        raise BrokenModel(
            f"“{file.name}” is no upscaler of a kind that is known here: take it out of {FOLDER}."
        ) from None


def _shapes(file: Path) -> Mapping[str, Tensor]:
    """Its tensors without their numbers; only the file's header is read. Raises BrokenModel where they can't be true."""
    import torch

    safetensors: Any = import_module("safetensors")  # it has no types
    with safetensors.safe_open(file, framework="pt") as opened:
        names: list[str] = list(opened.keys())
        # Whoever counts a network's blocks goes by the numbers in these names.
        numbers = (int(part) for name in names for part in name.split(".") if part.isdecimal())
        if len(names) > _TENSORS_MAX or max(numbers, default=0) > len(names) + 16:
            raise BrokenModel(f"The names of the tensors in “{file.name}” make no sense: {header.AGAIN}.")
        shapes: dict[str, Any] = {name: opened.get_slice(name).get_shape() for name in names}
    return _canonical({name: torch.empty(shape, device="meta") for name, shape in shapes.items()})


def _canonical(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return package().canonicalize_state_dict(dict(tensors))


@contextmanager
def quietly() -> Generator[None]:
    """Some architectures are built in ways that torch warns of; nobody here could do anything about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _TooLarge(Exception):
    """A file promises a network that is much larger than itself."""


@contextmanager
def _no_larger_than(numbers: int) -> Generator[None]:
    """Within, no network is built with more parameters than a file has numbers: a small file must not fill the memory."""
    from torch.nn.modules import module as hooks

    left = 2 * numbers + SPARE_NUMBERS

    def count(_module: Any, _name: str, parameter: Any) -> None:
        nonlocal left
        left -= 0 if parameter is None else parameter.numel()
        if left < 0:
            raise _TooLarge

    handle: Any = hooks.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


# ------------------------------------------------------------------ spandrel


def _registry() -> Any:
    return package().MAIN_REGISTRY


@cache
def package() -> Any:
    """Spandrel. Raises BrokenModel where it lacks."""
    try:
        with _some_torchvision():
            return import_module("spandrel")
    except ModuleNotFoundError as missing:
        if missing.name != "spandrel":
            raise
        raise BrokenModel(MISSING) from None


@contextmanager
def _some_torchvision() -> Generator[None]:
    """Something to import by that name, for as long as spandrel is imported the first time.

    Two of its architectures, LaMa and RestoreFormer, which are no upscalers, import functions of torchvision. PyPI's
    torchvision does not load beside a CPU build of torch, so it is not among our dependencies. What stands in for it must
    not stay: transformers asks whether there is a torchvision, and would believe it.
    """
    try:
        import_module("torchvision.transforms.functional")
    except Exception:  # noqa: BLE001 - a torchvision that does not fit fails in many ways
        stand_ins = dict(_stand_ins())
    else:
        yield
        return
    before = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]
        sys.modules.update(before)


def _stand_ins() -> Iterator[tuple[str, ModuleType]]:
    yield from ((name, ModuleType(name)) for name in ("torchvision", "torchvision.transforms"))
    functional = ModuleType("torchvision.transforms.functional")
    for name in ("InterpolationMode", "rotate", "normalize"):
        setattr(functional, name, None)
    yield functional.__name__, functional
