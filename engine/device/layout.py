"""Puts a pipeline's parts where its profile wants them, and says where that is; knows no queue and no picture.

Moving parts by turns is done with accelerate's hooks. Its own chain sends away only the one before, as in a call of
`pipe()`; here pictures at different steps take turns, so whoever comes to the device sends away whoever is there.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from accelerate import cpu_offload  # pyright: ignore[reportMissingTypeStubs]
from accelerate.hooks import ModelHook, add_hook_to_module  # pyright: ignore[reportMissingTypeStubs]

from engine.checkpoints.folder import CORES
from engine.contract.settings import EngineSettings
from engine.device import memory, profiles
from engine.device.memory import Needs
from engine.device.profiles import Plan, Weights

if TYPE_CHECKING:
    from engine.device.choice import Place

PROCESSOR = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a pipeline computes. Its parts may lie elsewhere between two of their turns."""

    device: torch.device
    dtype: torch.dtype
    aside: torch.device
    """Where texts are encoded and the safety checker looks at pictures."""
    plan: Plan
    weights: Weights

    @property
    def changes(self) -> dict[str, str]:
        """What it changes in every picture, for its fingerprint: another device encodes texts with other last bits."""
        return {} if self.aside == self.device else {"profile": self.plan.profile}

    @property
    def held_bytes(self) -> int:
        """The most of its weights that lie where it computes."""
        plan, weights = self.plan, self.weights
        if self.aside == self.device and not weights.called:
            return weights.core + weights.vae + weights.aside
        return max(weights.held(plan.profile, leaves=plan.leaves))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the owner is told at the start; nothing where there was nothing to choose."""
        return (self.plan.why,) if self.device.type == "cuda" or self.plan.profile != "full" else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A pipeline of diffusers, and where its parts lie."""

    pipeline: Any
    layout: Layout


def settle(pipeline: Any, place: Place, *, called: bool) -> Settled:
    """The pipeline, whose parts come from the processor's memory, where `place` wants it. Raises what the device raises.

    `called` says that it will be called as a whole, so that each part has to compute on the device.
    """
    parts = _parts(pipeline)
    device = torch.empty(0, device=place.device).device  # "cuda" gets its number
    weights = _weights(parts, called=called)
    plan = profiles.plan(
        place.profile,
        weights,
        _needs(pipeline, weights),
        size=_size(pipeline),
        free_bytes=memory.reclaim(device) if device.type == "cuda" else None,
    )
    if plan.profile == "full":
        pipeline = pipeline.to(device)
    elif called:
        _share(list(parts.values()), device, plan)
    else:
        for name, part in parts.items():
            if name not in (*CORES, "vae"):
                _put_aside(part, device)
        _share([pipeline.unet, pipeline.vae], device, plan)
    aside = device if called or plan.profile == "full" else PROCESSOR
    layout = Layout(device=device, dtype=place.dtype, aside=aside, plan=plan, weights=weights)
    return Settled(pipeline=pipeline, layout=layout)


def as_it_lies(pipeline: Any) -> Layout:
    """Of a pipeline that nobody settled: as a whole where it is."""
    device: torch.device = pipeline.device
    return Layout(
        device=device,
        dtype=_core(pipeline).dtype,
        aside=device,
        plan=Plan(profile="full", why="Profile full: nobody chose."),
        weights=_weights(_parts(pipeline), called=not hasattr(pipeline, "unet")),
    )


def needs(settled: Settled) -> Needs:
    """What a pipeline with a UNet takes of the memory that is free now, by the sizes of pictures."""
    pipeline, layout = settled.pipeline, settled.layout
    low = layout.plan.profile == "low"
    forward, decode = layout.weights.held("low", leaves=layout.plan.leaves) if low else (0, 0)
    return Needs.of(
        pipeline.unet.config,
        pipeline.vae.config,
        itemsize=pipeline.unet.dtype.itemsize,
        vae_itemsize=pipeline.vae.dtype.itemsize,
        tiles=layout.device.type == "cuda" and layout.plan.cut is None,
        cut=layout.plan.cut,
        before_forward=forward,
        before_decode=decode,
    )


def allowed(settings: EngineSettings, layout: Layout) -> EngineSettings:
    """Without what rearranges weights, where they come and go."""
    if layout.plan.profile != "low":
        return settings
    return replace(settings, channels_last="off", fused_qkv="off")


# ------------------------------------------------------------------ moving


class _Turn(ModelHook):
    """Brings its part to the device before it computes, and sends away all others that come and go there, also those of
    other models.

    It is no `CpuOffload`: diffusers would take such hooks off while it loads a LoRA, and put others of its own on.
    """

    parts: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()
    """All that take turns: there is one device for all of them."""

    def __init__(self, device: torch.device) -> None:
        self.execution_device = device  # where diffusers looks for it

    def init_hook(self, module: Any) -> Any:
        self.parts.add(module)
        return module.to(PROCESSOR)

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        left = [part for part in self.parts if part is not module and part.device != PROCESSOR]
        for part in left:
            part.to(PROCESSOR)
        if left and torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # what is free in pieces is not enough for whoever comes
        if module.device != self.execution_device:
            module.to(self.execution_device)
        return args, kwargs


def _share(parts: Sequence[Any], device: torch.device, plan: Plan) -> None:
    """How parts are on the device: together, by turns, or layer by layer."""
    for part in parts:
        if plan.leaves:
            cpu_offload(part, device, offload_buffers=bool(part._parameters))
        elif plan.profile == "low":
            add_hook_to_module(part, _Turn(device))
        else:
            part.to(device)


def _put_aside(part: Any, device: torch.device) -> None:
    """To the processor, which computes float16 slowly; where it computes everything nothing may differ."""
    part.to(PROCESSOR, part.dtype if device == PROCESSOR else torch.float32)


# ------------------------------------------------------------------ measuring


def _parts(pipeline: Any) -> Mapping[str, Any]:
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


def _core(pipeline: Any) -> Any:
    return next(part for name in CORES if (part := getattr(pipeline, name, None)) is not None)


def _weights(parts: Mapping[str, Any], *, called: bool) -> Weights:
    core = sum(_bytes(part) for name, part in parts.items() if name in CORES)
    vae = _bytes(parts["vae"])
    return Weights(core=core, vae=vae, aside=sum(map(_bytes, parts.values())) - core - vae, called=called)


def _bytes(part: Any) -> int:
    return sum(weight.numel() * weight.element_size() for weight in part.state_dict().values())


def _needs(pipeline: Any, weights: Weights) -> Needs:
    """Those of whole decodes."""
    if weights.called:
        return profiles.called_needs(prod(_size(pipeline)))
    return Needs.of(
        pipeline.unet.config,
        pipeline.vae.config,
        itemsize=pipeline.unet.dtype.itemsize,
        vae_itemsize=pipeline.vae.dtype.itemsize,
        tiles=False,
    )


def _size(pipeline: Any) -> tuple[int, int]:
    """(width, height) of the pictures that the model was trained on."""
    unet, scale = getattr(pipeline, "unet", None), getattr(pipeline, "vae_scale_factor", None)
    return profiles.trained_on(None if unet is None else getattr(unet.config, "sample_size", None), scale)
