"""Draws with a StableDiffusionPipeline's own parts, equal to calling the pipeline; knows no queue and no job.

The order of operations follows `StableDiffusionPipeline.__call__` of diffusers 0.42.1 (its seed, noise and rounding
are what people compare with): every function names the numbered part of it that it stands for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils.torch_utils import randn_tensor  # pyright: ignore[reportUnknownVariableType]

from engine import rows, samplers
from engine.contract import SIDE_MIN, GenerationRequest
from engine.drawing import DeviceLost

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Generator, Tensor

_log = logging.getLogger("easel.engine")
ENCODED_TEXTS = 64
"""Text embeddings kept; one of Stable Diffusion 1.5 takes 231 KiB."""
_SHOWN_WORDS = 4
_SHOWN_CHARS = 40


class NotFinite(Exception):
    """The picture is not made of numbers any more."""


@dataclass(slots=True, kw_only=True)
class SdCanvas:
    """One picture under way, with its own sampler and its own generator."""

    sampler: Any
    generator: Generator
    latents: Tensor
    embeddings: Tensor
    guidance_scale: float
    guidance: Tensor | None
    notes: tuple[str, ...]
    done: int = 0

    @property
    def left(self) -> int:
        return len(self.sampler.timesteps) - self.done


class SdFamily:
    """Stable Diffusion 1.x and 2.x, and what was distilled from them (Turbo, LCM)."""

    def __init__(self, pipeline: Any) -> None:
        self._pipe = pipeline
        self._device: torch.device = pipeline.device
        scheduler = pipeline.scheduler
        self._sampling = {**scheduler.config, "_class_name": type(scheduler).__name__}
        self._encode = lru_cache(maxsize=ENCODED_TEXTS)(self._encode_text)

    # -------------------------------------------------------------- a picture's life

    @torch.inference_mode()
    def prepare(self, request: GenerationRequest, seed: int) -> SdCanvas:
        """Parts 2 to 6.2: encoded prompts, timesteps, first noise."""
        embeddings, notes = self._embeddings(request)
        sampler = samplers.make(request.sampler, self._sampling)
        # A table on the GPU would be read back at every step.
        sampler.set_timesteps(request.steps, device="cpu")
        if hasattr(sampler, "set_begin_index"):
            sampler.set_begin_index(0)
        generator = torch.Generator("cpu").manual_seed(seed)
        noise = self._noise(request, generator, embeddings.dtype)
        return SdCanvas(
            sampler=sampler,
            generator=generator,
            latents=noise * sampler.init_noise_sigma,
            embeddings=embeddings,
            guidance_scale=request.guidance_scale,
            guidance=self._guidance_input(request, embeddings.dtype),
            notes=notes,
        )

    @torch.inference_mode()
    def denoise(self, canvas: SdCanvas) -> None:
        """One round of part 7."""
        sampler, timestep = canvas.sampler, canvas.sampler.timesteps[canvas.done]
        batch = rows.pack(
            latents=sampler.scale_model_input(canvas.latents, timestep),
            timestep=timestep,
            embeddings=canvas.embeddings,
            guidance=canvas.guidance,
        )
        prediction = rows.mix(self._forward(batch), canvas.guidance_scale)
        extra = samplers.step_arguments(sampler, canvas.generator)
        canvas.latents = sampler.step(prediction, timestep, canvas.latents, return_dict=False, **extra)[0]
        canvas.done += 1

    @torch.inference_mode()
    def decode(self, canvas: SdCanvas) -> Image | None:
        """What follows part 7. None where the safety checker flags the picture."""
        _check_finite(canvas.latents)
        pipe = self._pipe
        scaled = canvas.latents / pipe.vae.config.scaling_factor
        pixels = pipe.vae.decode(scaled, return_dict=False, generator=canvas.generator)[0]
        _check_finite(pixels)
        pixels, flags = pipe.run_safety_checker(pixels, self._device, canvas.embeddings.dtype)
        if flags is not None and any(flags):
            return None
        return pipe.image_processor.postprocess(pixels, output_type="pil", do_denormalize=[True])[0]

    def explain(self, error: Exception, request: GenerationRequest) -> str:
        if isinstance(error, NotFinite):
            return "The numbers of this picture ran away: try another seed, less guidance or another sampler."
        if _is_out_of_memory(error):
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            return f"There is not enough memory for {request.size}: try {_smaller(request)}."
        if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
            raise DeviceLost(str(error)) from error
        _log.error("a picture failed", exc_info=error)
        return f"The model could not draw this ({type(error).__name__}): try other settings."

    # -------------------------------------------------------------- its parts

    def _forward(self, batch: rows.Rows) -> Tensor:
        return self._pipe.unet(
            batch.latents,
            batch.timesteps,
            encoder_hidden_states=batch.embeddings,
            timestep_cond=batch.guidance,
            return_dict=False,
        )[0]

    def _noise(self, request: GenerationRequest, generator: Generator, dtype: torch.dtype) -> Tensor:
        scale = self._pipe.vae_scale_factor
        channels = self._pipe.unet.config.in_channels
        shape = (1, channels, request.height // scale, request.width // scale)
        return randn_tensor(shape, generator=generator, device=self._device, dtype=dtype)

    def _guidance_input(self, request: GenerationRequest, dtype: torch.dtype) -> Tensor | None:
        """For models distilled to take the guidance scale as an input instead of a second row (LCM)."""
        size = self._pipe.unet.config.time_cond_proj_dim
        if size is None:
            return None
        scale = torch.tensor(request.guidance_scale - 1).repeat(1)
        return self._pipe.get_guidance_scale_embedding(scale, embedding_dim=size).to(self._device, dtype)

    # -------------------------------------------------------------- prompts

    def _embeddings(self, request: GenerationRequest) -> tuple[Tensor, tuple[str, ...]]:
        """(1 or 2, tokens, width), and a note for each text that was cut."""
        notes = [self._cut_note("prompt", request.prompt)]
        embeddings = self._encode(request.prompt)
        if request.guidance_scale > 1 and self._pipe.unet.config.time_cond_proj_dim is None:
            notes.append(self._cut_note("negative prompt", request.negative_prompt))
            embeddings = torch.cat([self._encode(request.negative_prompt), embeddings])
        return embeddings, tuple(note for note in notes if note)

    def _encode_text(self, text: str) -> Tensor:
        return self._pipe.encode_prompt(text, self._device, 1, do_classifier_free_guidance=False)[0]

    def _cut_note(self, name: str, text: str) -> str:
        """A sentence that says where a text was cut, empty where it fits the text encoder's window."""
        tokenizer = self._pipe.tokenizer
        window = tokenizer.model_max_length
        spans = tokenizer(text, truncation=False, return_offsets_mapping=True, verbose=False).offset_mapping
        if len(spans) <= window:
            return ""
        # The first token left out: the window's last place is taken by the end mark.
        cut = spans[window - 1][0]
        kept, dropped = _tail(text[:cut]), _head(text[cut:])
        return f"The {name} is too long for this model: it was used up to “{kept}”; from “{dropped}” on it was left out."


def _tail(text: str) -> str:
    shown = " ".join(text.split()[-_SHOWN_WORDS:])[-_SHOWN_CHARS:]
    return shown if shown == text.strip() else f"…{shown}"


def _head(text: str) -> str:
    shown = " ".join(text.split()[:_SHOWN_WORDS])[:_SHOWN_CHARS]
    return shown if shown == text.strip() else f"{shown}…"


def _check_finite(values: Tensor) -> None:
    if not bool(torch.isfinite(values).all()):
        raise NotFinite


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def _smaller(request: GenerationRequest) -> str:
    """About half the pixels in the same shape."""

    def side(pixels: int) -> int:
        return max(SIDE_MIN, int(pixels * 0.7) // SIDE_MIN * SIDE_MIN)

    return f"{side(request.width)}x{side(request.height)}"
