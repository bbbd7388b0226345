"""Chooses where an engine computes and with which numbers; knows no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.checkpoints.architectures import BY_FAMILY
from engine.contract import EngineSettings, Mode, ModeOrAuto
from engine.contract.settings import Profile
from engine.errors import BrokenModel

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the model computes, and with which numbers."""

    device: torch.device
    dtype: torch.dtype
    mode: Mode = "exact"
    """How pictures share forwards."""
    profile: Profile | Literal["auto"] = "auto"
    """What the owner wishes; which one holds is decided when the model's size is known (`engine.device.layout`)."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one engine computes on, with models of every family. Asked again, a stopwatch might choose another dtype."""

    device: torch.device
    dtype: torch.dtype
    called_dtype: torch.dtype
    """Of families that are drawn with by calling their pipeline."""
    mode: Mode
    profile: Profile | Literal["auto"]

    def place(self, family: str = "sd") -> Place:
        """Where models of this family compute."""
        slow = ("No graphics card is in use: drawing on the CPU is slow.",)
        return Place(
            device=self.device,
            dtype=self.called_dtype if BY_FAMILY[family].is_called else self.dtype,
            mode=self.mode,
            profile=self.profile,
            warnings=slow if self.device.type == "cpu" else (),
        )


def choose(settings: EngineSettings) -> Choice:
    """fp16 on CUDA, fp32 elsewhere, unless told otherwise. Raises BrokenModel where the device or dtype can't be used.

    Families that are drawn with by calling their pipeline get bf16 on CUDA: most of them overflow in fp16.
    Where somebody chose wide or fast a processor built for bf16 uses that: all others get the numbers of `pipe()`.
    An engine chooses once, at its start, and hands on what it chose.
    """
    import torch

    device = _device(settings.device)
    mode = _usual_mode(settings, device) if settings.mode == "auto" else settings.mode
    told = settings.dtype if settings.dtype != "auto" else _usual_dtype(settings.mode, device)
    dtype = getattr(torch, told)
    if device.type == "cpu" and dtype is torch.float16:
        raise BrokenModel(
            "Processors have no fast float16: set dtype to “auto” or “bfloat16” under [engine]."
        )
    overflows = device.type == "cuda" and settings.dtype == "auto"
    called = torch.bfloat16 if overflows else dtype
    return Choice(device=device, dtype=dtype, called_dtype=called, mode=mode, profile=settings.profile)


def choose_place(settings: EngineSettings, family: str = "sd") -> Place:
    """As an engine that is started now would choose for a model of this family. Raises BrokenModel."""
    return choose(settings).place(family)


def _device(name: str) -> torch.device:
    """The device of this name, which was tried. Raises BrokenModel."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BrokenModel(
            "There is no CUDA device here: install NVIDIA's driver and the torch build for CUDA, "
            "or set the device to “auto”."
        )
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:
        raise BrokenModel(
            f"The device “{name[:20]}” can't be used here ({type(error).__name__}): "
            "install its driver and the torch build for it, or set the device to “auto”."
        ) from error
    return device


def _usual_mode(settings: EngineSettings, device: torch.device) -> Mode:
    """Wide where sharing forwards costs a lone picture nothing: with OpenVINO, on processors."""
    from engine.openvino import networks

    can = device.type == "cpu" and settings.runtime != "torch" and settings.data is not None
    return "wide" if can and not networks.problem() else "exact"


def _usual_dtype(mode: ModeOrAuto, device: torch.device) -> str:
    from engine.unet import switches

    if device.type == "cuda":
        return "float16"
    pays = device.type == "cpu" and mode in {"wide", "fast"} and switches.bfloat16_pays()
    return "bfloat16" if pays else "float32"
