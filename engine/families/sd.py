"""Draws with a StableDiffusionPipeline's own parts, equal to calling the pipeline; knows no queue and no job.

The order of operations follows `StableDiffusionPipeline.__call__` of diffusers 0.42.1 (its seed, noise and rounding
are what people compare with): every function names the numbered part of it that it stands for. Where a picture starts
from an image, `engine.families.first_latents` follows the pipelines for that.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine import errors, samplers
from engine.contract import SIDE_MIN, GenerationRequest, Lora
from engine.device import layout
from engine.families import embeddings, vae
from engine.families.explaining import Explaining, check_finite
from engine.families.first_latents import Blend, Starting, beside
from engine.families.loras import Loras
from engine.families.preview import Sketcher
from engine.families.prompts import Prompts
from engine.pictures.decoding import Inputs
from engine.unet import batch as rows
from engine.unet import compiled as compiling
from engine.unet.batch import noise

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

WIDTHS_S = 5.0
"""More widths are tried only on machines on which that takes no longer, slots and all: an engine that is silent looks hung."""


@dataclass(slots=True, kw_only=True)
class SdCanvas:
    """One picture under way, with its own sampler and its own generator."""

    sampler: Any
    generator: torch.Generator
    timesteps: Tensor
    """Those of the sampler's that are still taken when it begins."""
    latents: Tensor
    condition: Tensor | None
    """(1, channels, …) that the UNet is shown beside the latents: mask and image, for models trained to fill masks."""
    blend: Blend | None
    """Keeps the image outside of the mask, for all other models."""
    embeddings: Tensor
    guidance_scale: float
    guidance: Tensor | None
    notes: tuple[str, ...]
    loras: tuple[Lora, ...] = ()
    made_with: dict[str, str] = field(default_factory=dict[str, str])
    pooled: Tensor | None = None
    sizes: Tensor | None = None
    done: int = 0
    seen: Tensor | None = None
    """What was sent into the last forward."""
    guess: Tensor | None = None
    """The finished latents as far as they could be told when somebody last looked."""

    @property
    def left(self) -> int:
        return len(self.timesteps) - self.done

    @property
    def rows(self) -> int:
        return self.embeddings.shape[0]

    @property
    def shape(self) -> Hashable:
        """LoRAs count by their files: their weights change numbers, but not how they are computed."""
        channels = self.latents.shape[1] + (0 if self.condition is None else self.condition.shape[1])
        return (
            (channels, *self.latents.shape[2:]),
            self.embeddings.shape[1],
            self.guidance is not None,
            frozenset((lora.name, self.made_with.get(f"lora {lora.name}")) for lora in self.loras),
        )

    @property
    def timestep(self) -> Tensor:
        return self.timesteps[self.done]


class SdFamily(Explaining):
    """Stable Diffusion 1.x and 2.x, and what was distilled from them (Turbo, LCM)."""

    def __init__(
        self,
        pipeline: Any,
        sketcher: Sketcher | None = None,
        *,
        side_min: int = SIDE_MIN,
        models: Path | None = None,
    ) -> None:
        """`side_min` is the smallest side in pixels that the model draws.

        In `models` lie the folders with LoRA and embedding files; None: there are none.
        """
        self._pipe = pipeline
        self._starting = Starting(pipeline, self.is_out_of_memory)
        self._sketcher = sketcher
        self._side_min = side_min
        self._compiled: compiling.CompiledUnet | None = None
        self._layout = layout.of(pipeline)
        self._device = self._layout.device
        scheduler = pipeline.scheduler
        self._sampling = {**scheduler.config, "_class_name": type(scheduler).__name__}
        self._loras = Loras(pipeline, models)
        self._embeddings = embeddings.load(pipeline, models)
        self._prompts = Prompts(pipeline, self._loras, self._embeddings)

    @property
    def words(self) -> Set[str]:
        """Those of the embedding files that it was taught."""
        return self._embeddings.digests.keys()

    # -------------------------------------------------------------- a picture's life

    @torch.inference_mode()
    def prepare(self, request: GenerationRequest, seed: int, inputs: Inputs | None = None) -> SdCanvas:
        """Parts 2 to 6.2: encoded prompts, timesteps, first noise. Raises InvalidRequest for masks and LoRAs that are no good."""
        self._loras.want(request.loras)
        guided = request.guidance_scale > 1 and self._pipe.unet.config.time_cond_proj_dim is None
        encoded, notes = self._prompts.embeddings(request.prompt, request.negative_prompt if guided else None)
        sampler = samplers.make(request.sampler, self._sampling)
        # A table on the GPU would be read back at every step.
        sampler.set_timesteps(request.steps, device="cpu")
        generator = torch.Generator("cpu").manual_seed(seed)
        start = self._starting.begin(request, inputs, sampler, generator, encoded.dtype)
        return SdCanvas(
            sampler=sampler,
            generator=generator,
            timesteps=start.timesteps,
            latents=start.latents,
            condition=start.condition,
            blend=start.blend,
            embeddings=encoded,
            guidance_scale=request.guidance_scale,
            guidance=self._guidance_input(request, encoded.dtype),
            notes=notes + self._loras.notes(request.loras) + start.notes,
            loras=request.loras,
            made_with={
                **self._loras.digests(request.loras),
                **self._embeddings.named_in(request.prompt, request.negative_prompt),
                **vae.planned(self._layout.plan, request.width * request.height),
            },
        )

    @torch.inference_mode()
    def predict(self, canvases: Sequence[SdCanvas], *, padded: int | None) -> list[Tensor]:
        """The first half of a round of part 7, for several pictures at once: (its rows, …) for each of them."""
        for canvas in canvases:
            canvas.seen = canvas.sampler.scale_model_input(canvas.latents, canvas.timestep)
        self._loras.see(canvases[0].loras)
        pictures = [_rows_of(canvas) for canvas in canvases]
        batch = rows.join(pictures, padded=padded)
        if (compiled := self._compiled_for(batch)) is not None:
            for canvas in canvases:
                canvas.made_with["unet"] = compiled.words
        predictions = self._forward(batch)
        ends = itertools.accumulate(len(picture) for picture in pictures)
        return [predictions[end - canvas.rows : end] for end, canvas in zip(ends, canvases, strict=True)]

    @torch.inference_mode()
    def advance(self, canvas: SdCanvas, prediction: Tensor, *, look: bool) -> None:
        """The second half: guidance, and the sampler's step."""
        sampler, timestep = canvas.sampler, canvas.timestep
        mixed = rows.mix(prediction, canvas.guidance_scale)
        if look:
            check_finite(mixed)
            canvas.guess = samplers.guess(sampler, canvas.seen, mixed, timestep)
        extra = samplers.step_arguments(sampler, canvas.generator)
        canvas.latents = sampler.step(mixed, timestep, canvas.latents, return_dict=False, **extra)[0]
        canvas.done += 1
        if canvas.blend is not None:
            following = canvas.timestep if canvas.left else None
            canvas.latents = canvas.blend.keep(canvas.latents, sampler, following)

    def sketch(self, canvas: SdCanvas) -> Callable[[], bytes] | None:
        guess, canvas.guess = canvas.guess, None
        if guess is None or self._sketcher is None:
            return None
        return partial(self._sketcher.jpeg, guess.to("cpu", torch.float32))

    @torch.inference_mode()
    def decode(self, canvas: SdCanvas, *, sparing: bool = False) -> Image | None:
        """What follows part 7. None where the safety checker flags the picture."""
        check_finite(canvas.latents)
        pipe = self._pipe
        latents = vae.unscaled(pipe.vae, canvas.latents)
        height, width = latents.shape[-2:]
        cut, size = self._layout.plan.cut, height * width * pipe.vae_scale_factor**2
        with vae.smaller(pipe.vae, cut, width, height) if sparing else vae.as_planned(pipe.vae, cut, size):
            pixels = pipe.vae.decode(latents, return_dict=False, generator=canvas.generator)[0]
        check_finite(pixels)
        if self._is_flagged(pixels):
            return None
        return pipe.image_processor.postprocess(pixels, output_type="pil", do_denormalize=[True])[0]

    # -------------------------------------------------------------- what is measured

    @torch.inference_mode()
    def equal_widths(self, canvas: SdCanvas, rows: int) -> Sequence[int] | None:
        """Some rows of noise, the same ones moved on by one and by half of the slots, and the first and the last of them
        in forwards of 2, 4, 6 … rows: equal bits everywhere? Half of `rows` is tried first, as long as there is time.

        LoRAs have their whole weight in it: with little of it a difference might be too small to be seen. None while the
        forward that it would be about is still being compiled.
        """
        self._loras.see([replace(lora, weight=1.0) for lora in canvas.loras])
        like, compiled = _rows_of(canvas), self._compiled
        if compiled is not None and not self._loras.is_seen and compiled.may_take(like, rows):
            return None
        batch, begin = noise(like, rows), time.monotonic()
        used = self._compiled_for(batch)
        straight = self._forward(batch)

        def moved(shift: int) -> Tensor:
            return self._forward(batch.each(lambda part: part.roll(shift, 0))).roll(-shift, 0)

        def ends_agree(width: int) -> bool:
            ends = slice(width), slice(rows - width, rows)
            if self._compiled_for(batch.cut(ends[0])) is not used:
                return False
            return all(torch.equal(self._forward(batch.cut(end)), straight[end]) for end in ends)

        if not all(torch.equal(straight, moved(shift)) for shift in {1, rows // 2}):
            return ()
        equal = [rows]
        for width in sorted(range(2, rows, 2), key=lambda width: width != rows // 2):
            if time.monotonic() - begin > WIDTHS_S:
                break
            try:
                if ends_agree(width):
                    equal.append(width)
            except Exception as error:  # noqa: BLE001 - all slots together went well, and they will do
                self.is_out_of_memory(error)
                break
        return equal if self._compiled_for(batch) is used else ()

    def compile_behind(
        self,
        counts: tuple[int, int],
        size: tuple[int, int],
        *,
        file: Path,
        switches: Mapping[str, str],
        worth: float | None = None,
    ) -> None:
        """Begins to compile forwards of (at least, at most) so many rows at `size`, which are used once they are ready.

        `file` is where they are kept. If they take more than `worth` of the plain ones' time they are not used.
        """
        self._compiled = compiling.CompiledUnet(
            self._pipe.unet, self._blank(2, size), counts=counts, file=file, switches=switches
        )
        self._compiled.begin(worth=worth)

    @property
    def is_compiled(self) -> bool:
        """Whether something was compiled and is in use."""
        return self._compiled is not None and self._compiled.is_in_use

    def wait_for_compiler(self) -> None:
        """Returns when nothing is being compiled any more."""
        if self._compiled is not None:
            self._compiled.wait()

    @torch.inference_mode()
    def _blank(self, count: int, size: tuple[int, int]) -> rows.Rows:
        """Rows of zeros for pictures of `size` (width, height) in pixels, with an empty prompt."""
        unet, scale = self._pipe.unet, self._pipe.vae_scale_factor
        encoded = self._prompts.encode("").embeddings.repeat(count, 1, 1)
        like: dict[str, Any] = {"device": self._device, "dtype": encoded.dtype}
        condition = unet.config.time_cond_proj_dim
        return rows.Rows(
            latents=torch.zeros((count, unet.config.in_channels, size[1] // scale, size[0] // scale), **like),
            timesteps=torch.full((count,), 500.0, device=self._device),
            embeddings=encoded,
            guidance=None if condition is None else torch.zeros((count, condition), **like),
        )

    @torch.inference_mode()
    def rehearse(self, rows: int, size: tuple[int, int]) -> None:
        """One forward of so many rows at `size` (width, height) in pixels; returns when it is done."""
        try:
            self._forward(self._blank(rows, size))
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
        except RuntimeError as error:  # who measures takes it for a lack of memory
            errors.check_device(error)
            raise

    @torch.inference_mode()
    def self_test(self, size: tuple[int, int]) -> None:
        """One forward and one decode at `size`, both of real numbers. Raises NotFinite, or what the device raises."""
        batch = self._blank(1, size)
        check_finite(self._forward(batch))
        decoder = self._pipe.vae
        latents = vae.unscaled(decoder, batch.latents[:, : decoder.config.latent_channels])
        check_finite(decoder.decode(latents, return_dict=False)[0])

    # -------------------------------------------------------------- its parts

    def _forward(self, batch: rows.Rows) -> Tensor:
        if (compiled := self._compiled_for(batch)) is not None:
            return compiled(batch)
        return compiling.call(self._pipe.unet, batch)

    def _compiled_for(self, batch: rows.Rows) -> compiling.CompiledUnet | None:
        """What is compiled knows no LoRA."""
        compiled = self._compiled
        return compiled if compiled and not self._loras.is_seen and compiled.takes(batch) else None

    def _is_flagged(self, pixels: Tensor) -> bool:
        checker = getattr(self._pipe, "safety_checker", None)
        if checker is None:
            return False
        flags = self._pipe.run_safety_checker(pixels, self._layout.aside, checker.dtype)[1]
        return flags is not None and any(flags)

    def _guidance_input(self, request: GenerationRequest, dtype: torch.dtype) -> Tensor | None:
        """For models distilled to take the guidance scale as an input instead of a second row (LCM)."""
        size = self._pipe.unet.config.time_cond_proj_dim
        if size is None:
            return None
        scale = torch.tensor(request.guidance_scale - 1).repeat(1)
        return self._pipe.get_guidance_scale_embedding(scale, embedding_dim=size).to(self._device, dtype)


def _rows_of(canvas: SdCanvas) -> rows.Rows:
    return rows.of_picture(
        latents=beside(canvas.latents if canvas.seen is None else canvas.seen, canvas.condition),
        timestep=canvas.timestep,
        embeddings=canvas.embeddings,
        guidance=canvas.guidance,
        pooled=canvas.pooled,
        sizes=canvas.sizes,
    )
