"""What holds for all models of one kind: one row for each that is drawn with; knows neither files nor torch.

Nothing else is ever loaded or called, whatever a checkpoint's model_index.json names: other pipelines, and code that
comes with a model, are never run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a pipeline's `__call__` takes; the numbers are its own defaults."""

    steps: int
    guidance: float
    argument: str = "guidance_scale"
    """The name of its argument for guidance."""
    negative: bool = True
    """Whether a negative prompt makes a difference."""
    unsaid: str | None = None
    """The negative prompt where there is none: without one, guidance would make no difference."""
    side: int | None = None
    """Width and height, where they are not those that the transformer's config tells."""
    area: str | None = None
    """The name of an argument for width x height, without which those two would tell a shape and no size."""
    references: range = range(1)
    """How many images to edit it takes: by its argument `image`, and as a list where it may be several."""


CALLS: Mapping[str, Call] = {
    "AuraFlowPipeline": Call(steps=50, guidance=3.5, side=1024),
    "ChromaPipeline": Call(steps=35, guidance=5.0),
    "CogView4Pipeline": Call(steps=50, guidance=5.0),
    "FluxKontextPipeline": Call(steps=28, guidance=3.5, negative=False, area="max_area", references=range(2)),
    "FluxPipeline": Call(steps=28, guidance=3.5, negative=False),
    "Flux2Pipeline": Call(steps=50, guidance=4.0, negative=False, references=range(9)),
    "Flux2KleinPipeline": Call(steps=50, guidance=4.0, negative=False, references=range(5)),
    "Lumina2Pipeline": Call(steps=30, guidance=4.0),
    "OvisImagePipeline": Call(steps=50, guidance=5.0),
    "PixArtAlphaPipeline": Call(steps=20, guidance=4.5),
    "PixArtSigmaPipeline": Call(steps=20, guidance=4.5),
    "QwenImageEditPipeline": Call(
        steps=50, guidance=4.0, argument="true_cfg_scale", unsaid=" ", references=range(1, 2)
    ),
    "QwenImageEditPlusPipeline": Call(
        steps=50, guidance=4.0, argument="true_cfg_scale", unsaid=" ", references=range(1, 4)
    ),
    "QwenImagePipeline": Call(steps=50, guidance=4.0, argument="true_cfg_scale", unsaid=" "),
    "SanaPipeline": Call(steps=20, guidance=4.5),
    "StableDiffusion3Pipeline": Call(steps=28, guidance=7.0),
    "ZImagePipeline": Call(steps=50, guidance=5.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One kind of model."""

    family: str
    """Its name in `ModelInfo.family`, and in fingerprints and rows for ever."""
    title: str
    pipelines: tuple[str, ...] = ()
    """What model_index.json may call it: classes of diffusers."""
    required: tuple[str, ...] = ()
    """Components without which nothing is drawn."""
    pipeline: str | None = None
    """The class that its parts are put together as; None: the one that its files name."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of that class."""
    guidance: float = 7.5
    """The default of `pipe()` itself."""
    is_called: bool = False
    """It is drawn with by calling its pipeline as a whole, with its own sampler; its pictures share no forward."""
    upcasts_vae: bool = False
    """Its first VAE is too large for float16; bfloat16 holds numbers as large as float32 does."""
    sees_sizes: bool = False
    """Its UNet is told the picture's size beside the text (`addition_embed_type` text_time)."""
    takes_adapters: bool = False
    """LoRAs and embeddings."""
    text_widths: tuple[int, ...] = ()
    """`cross_attention_dim` that its UNet may have."""

    def upcasts(self, dtype: str, vae: Mapping[str, Any]) -> bool:
        """Whether the VAE computes in float32 while all else is in `dtype`, by its config, as in `pipe()`."""
        return self.upcasts_vae and dtype == "float16" and bool(vae.get("force_upcast", True))


SD = Architecture(
    family="sd",
    title="Stable Diffusion",
    pipelines=(
        "StableDiffusionPipeline",
        "StableDiffusionInpaintPipeline",
        "LatentConsistencyModelPipeline",
    ),
    required=("unet", "vae", "text_encoder", "tokenizer", "scheduler"),
    pipeline="StableDiffusionPipeline",
    takes_adapters=True,
    text_widths=(768, 1024),
)
SDXL = Architecture(
    family="sdxl",
    title="SDXL",
    pipelines=("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline"),
    required=("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"),
    pipeline="StableDiffusionXLPipeline",
    # A watermark nobody sees would keep pictures from being equal between machines.
    options={"add_watermarker": False},
    guidance=5.0,
    upcasts_vae=True,
    sees_sizes=True,
    takes_adapters=True,
    text_widths=(2048,),
)
CALLED = Architecture(
    family="any",
    title="another kind",
    pipelines=tuple(CALLS),
    required=("transformer", "vae", "scheduler"),
    is_called=True,
)
UPSCALER = Architecture(family="upscale", title="upscaler")

BY_PIPELINE: Mapping[str, Architecture] = {
    pipeline: each for each in (SD, SDXL, CALLED) for pipeline in each.pipelines
}
BY_FAMILY: Mapping[str, Architecture] = {each.family: each for each in (SD, SDXL, CALLED, UPSCALER)}

CLASSES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
    "safety_checker": ("diffusers.pipelines.stable_diffusion.safety_checker", "StableDiffusionSafetyChecker"),
}
"""What each component with weights is, of a pipeline that is not called."""
