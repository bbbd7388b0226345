"""Draws with a StableDiffusionPipeline's own parts, equal to calling the pipeline; knows no queue and no job.

The order of operations follows `StableDiffusionPipeline.__call__` of diffusers 0.42.1 (its seed, noise and rounding
are what people compare with): every function names the numbered part of it that it stands for. Where a picture starts
from an image, `engine.families.first_latents` follows the pipelines for that.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine import samplers
from engine.contract import SIDE_MIN, GenerationRequest, Lora
from engine.contract.requests import guided
from engine.device.layout import Layout, as_it_lies
from engine.families import embeddings, seamless, vae
from engine.families.checkers import ClipChecker
from engine.families.explaining import Explaining, check_finite
from engine.families.first_latents import Beginning, Blend, Starting, beside
from engine.families.forwards import FAILED, Forwards, Runtime
from engine.families.loras import Loras
from engine.families.preview import Sketcher
from engine.families.prompts import Prompts
from engine.pictures.decoding import Inputs
from engine.unet.batch import Rows, mix, of_picture

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


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
    guided: int
    """After so many forwards guidance is left out."""
    guidance: Tensor | None
    notes: tuple[str, ...]
    look: Hashable
    """Of a row. LoRAs count by their files: their weights change numbers, but not how they are computed."""
    loras: tuple[Lora, ...] = ()
    tile: bool = False
    """Whether its edges are to meet."""
    runtime: Runtime | None = None
    """What it began with; None: torch."""
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
        """Who lost the runtime that it began with shares nothing that was found out with others."""
        return self.look, self.runtime and (self.runtime.words if self.runtime.is_in_use else FAILED)

    @property
    def widest(self) -> int | None:
        return self.runtime.rows if self.runtime and self.runtime.is_in_use else None

    @property
    def timestep(self) -> Tensor:
        return self.timesteps[self.done]

    def leave_guidance(self) -> None:
        """From now on only the row with the prompt is evaluated: what `SDCFGCutoffCallback` of diffusers 0.42.1 does."""
        self.embeddings = self.embeddings[-1:]
        self.pooled = None if self.pooled is None else self.pooled[-1:]
        self.sizes = None if self.sizes is None else self.sizes[-1:]

    @property
    def batch(self) -> Rows:
        """Its rows of the next forward."""
        return of_picture(
            latents=beside(self.latents if self.seen is None else self.seen, self.condition),
            timestep=self.timestep,
            embeddings=self.embeddings,
            guidance=self.guidance,
            pooled=self.pooled,
            sizes=self.sizes,
        )


class SdFamily(Explaining):
    """Stable Diffusion 1.x and 2.x, and what was distilled from them (Turbo, LCM)."""

    align_your_steps = "StableDiffusionTimesteps"
    """Which of diffusers' `AysSchedules` is for it."""

    def __init__(
        self,
        pipeline: Any,
        sketcher: Sketcher | None = None,
        *,
        side_min: int = SIDE_MIN,
        models: Path | None = None,
        own: Path | None = None,
        lies: Layout | None = None,
        tiny: Any = None,
    ) -> None:
        """`side_min` is the smallest side in pixels that the model draws.

        In `models` lie the folders with LoRA and embedding files; None: there are none. `own`: the model's folder, in which
        LoRAs of its own may lie. `lies`: where its parts lie; None: as a whole where they are. `tiny`: the AutoencoderTiny that
        decodes pictures in the VAE's stead, as in a `pipe()` whose `vae` it is; images that they start from are the VAE's all
        the same.
        """
        self._pipe = pipeline
        self._layout = lies or as_it_lies(pipeline)
        self._starting = Starting(pipeline, self._layout, self.is_out_of_memory)
        self._decoder, self._is_tiny = (pipeline.vae, False) if tiny is None else (tiny, True)
        self._sketcher = sketcher
        self._side_min = side_min
        self._device = self._layout.device
        scheduler = pipeline.scheduler
        self._sampling = {**scheduler.config, "_class_name": type(scheduler).__name__}
        self._loras = Loras(pipeline, models, own=own, in_leaves=self._layout.plan.leaves)
        self._embeddings = embeddings.load(pipeline, models)
        self._prompts = Prompts(pipeline, self._loras, self._embeddings, self._layout)
        self.forwards = Forwards(pipeline, self._device, self._prompts, self._loras)
        own = getattr(pipeline, "safety_checker", None)
        self.checker = own and ClipChecker(own, pipeline.feature_extractor, self._layout.aside)

    @property
    def words(self) -> Set[str]:
        """Those of the embedding files that it was taught."""
        return self._embeddings.digests.keys()

    # -------------------------------------------------------------- a picture's life

    @torch.inference_mode()
    def prepare(self, request: GenerationRequest, seed: int, inputs: Inputs | None = None) -> SdCanvas:
        """Parts 2 to 6.2: encoded prompts, timesteps, first noise. Raises InvalidRequest for masks and LoRAs that are no good."""
        canvas = self._canvas(request, seed, inputs)
        if "decode" not in canvas.made_with:  # in tiles, as planned
            canvas.runtime = self.forwards.runtime_for(canvas)
        return canvas

    def _canvas(self, request: GenerationRequest, seed: int, inputs: Inputs | None) -> SdCanvas:
        self._loras.want(request.loras)
        is_guided = request.guidance_scale > 1 and self._pipe.unet.config.time_cond_proj_dim is None
        encoded, notes = self._prompts.embeddings(
            request.prompt, request.negative_prompt if is_guided else None
        )
        sampler = samplers.make(request.sampler, self._sampling, request.schedule)
        samplers.begin(sampler, request.steps, request.schedule, self.align_your_steps)
        generator = torch.Generator("cpu").manual_seed(seed)
        start = self._starting.begin(request, inputs, sampler, generator, encoded.dtype)
        guidance, loras = self._guidance_input(request, encoded.dtype), self._loras.digests(request.loras)
        return SdCanvas(
            sampler=sampler,
            generator=generator,
            timesteps=start.timesteps,
            latents=start.latents,
            condition=start.condition,
            blend=start.blend,
            embeddings=encoded,
            guidance_scale=request.guidance_scale,
            guided=guided(len(start.timesteps), request.guidance_until),
            guidance=guidance,
            notes=notes + self._loras.notes(request.loras) + start.notes,
            look=(
                _shown(start),
                encoded.shape[1],
                guidance is not None,
                frozenset(loras.items()),
                request.tile,
            ),
            loras=request.loras,
            tile=request.tile,
            made_with={
                **loras,
                **self._embeddings.named_in(request.prompt, request.negative_prompt),
                **({} if self._is_tiny else vae.planned(self._layout.plan, request.width * request.height)),
            },
        )

    @torch.inference_mode()
    def predict(self, canvases: Sequence[SdCanvas], *, padded: int | None) -> list[Tensor]:
        """The first half of a round of part 7, for several pictures at once: (its rows, …) for each of them."""
        for canvas in canvases:
            canvas.seen = canvas.sampler.scale_model_input(canvas.latents, canvas.timestep)
        return self.forwards.predict(canvases, padded=padded)

    @torch.inference_mode()
    def advance(self, canvas: SdCanvas, prediction: Tensor, *, look: bool) -> None:
        """The second half: guidance, and the sampler's step."""
        sampler, timestep = canvas.sampler, canvas.timestep
        mixed = mix(prediction, canvas.guidance_scale)
        if look:
            check_finite(mixed)
            canvas.guess = samplers.guess(sampler, canvas.seen, mixed, timestep)
        extra = samplers.step_arguments(sampler, canvas.generator)
        canvas.latents = sampler.step(mixed, timestep, canvas.latents, return_dict=False, **extra)[0]
        canvas.done += 1
        if canvas.left and canvas.done == canvas.guided and canvas.rows > 1:
            canvas.leave_guidance()
        if canvas.blend is not None:
            following = canvas.timestep if canvas.left else None
            canvas.latents = canvas.blend.keep(canvas.latents, sampler, following)

    def sketch(self, canvas: SdCanvas) -> Callable[[], bytes] | None:
        guess, canvas.guess = canvas.guess, None
        if guess is None or self._sketcher is None:
            return None
        return partial(self._sketcher.jpeg, guess.to("cpu", torch.float32))

    @torch.inference_mode()
    def decode(self, canvas: SdCanvas, *, sparing: bool = False) -> Image:
        """What follows part 7, but for the safety checker, which looks at what comes of it."""
        check_finite(canvas.latents)
        decoder = self._decoder
        latents = vae.unscaled(decoder, canvas.latents)
        height, width = latents.shape[-2:]
        # A tiny one takes so little memory that it always begins with the whole picture, and is torch's.
        cut = None if self._is_tiny else self._layout.plan.cut
        runtime = None if self._is_tiny else canvas.runtime
        if runtime is not None and runtime.is_in_use and not sparing:
            return self._finished(runtime.decode(latents))
        if runtime is not None:
            canvas.made_with["runtime"] = FAILED
        if not self._is_tiny:
            self.forwards.need_decoder()
        size = height * width * self._pipe.vae_scale_factor**2
        with vae.smaller(decoder, cut, width, height) if sparing else vae.as_planned(decoder, cut, size):
            return self._finished(self._pixels(latents, canvas))

    def _finished(self, pixels: Tensor) -> Image:
        check_finite(pixels)
        return self._pipe.image_processor.postprocess(pixels, output_type="pil", do_denormalize=[True])[0]

    @torch.inference_mode()
    def self_test(self, size: tuple[int, int]) -> None:
        """One forward and one decode at `size`, both of real numbers. Raises NotFinite, or what the device raises."""
        batch = self.forwards.blank(1, size)
        check_finite(self.forwards(batch))
        decoder = self._decoder
        latents = vae.unscaled(decoder, batch.latents[:, : decoder.config.latent_channels])
        check_finite(decoder.decode(latents, return_dict=False)[0])

    # -------------------------------------------------------------- its parts

    def _pixels(self, latents: Tensor, canvas: SdCanvas) -> Tensor:
        if canvas.tile:
            return seamless.decode(self._decoder, latents, canvas.generator)
        return self._decoder.decode(latents, return_dict=False, generator=canvas.generator)[0]

    def _guidance_input(self, request: GenerationRequest, dtype: torch.dtype) -> Tensor | None:
        """For models distilled to take the guidance scale as an input instead of a second row (LCM)."""
        size = self._pipe.unet.config.time_cond_proj_dim
        if size is None:
            return None
        scale = torch.tensor(request.guidance_scale - 1).repeat(1)
        return self._pipe.get_guidance_scale_embedding(scale, embedding_dim=size).to(self._device, dtype)


def _shown(start: Beginning) -> tuple[int, ...]:
    """(channels, height / 8, width / 8) of what the UNet is shown of it."""
    more = 0 if start.condition is None else start.condition.shape[1]
    return (start.latents.shape[1] + more, *start.latents.shape[2:])
