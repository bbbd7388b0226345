"""Other programs as sides of a comparison: each draws a request after the other; knows their calls, no measuring.

They are looked for in this Python alone, and never needed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from engine.contract import GenerationRequest
from engine.device import fingerprint
from workshop.bench.sides import Caller

CPP, GENAI, GENAI_BF16 = "sd.cpp", "genai", "genai-bf16"
PACKAGES = {
    CPP: ("cyllama",),
    GENAI: ("openvino_genai", "openvino_tokenizers"),
    GENAI_BF16: ("openvino_genai", "openvino_tokenizers"),
}
"""What each of them is imported as."""
INSTALL = {
    CPP: "pip install cyllama",
    GENAI: "pip install openvino-genai",
    GENAI_BF16: "pip install openvino-genai",
}
SAMPLERS = {"Euler": ("EULER", "EULER_DISCRETE"), "Euler a": ("EULER_A", "EULER_ANCESTRAL_DISCRETE")}
"""What all of them have, and its name in stable-diffusion.cpp and in GenAI: one forward a step."""


def missing(key: str) -> str:
    """A sentence where a program isn't there; "" where it is, or is no other program."""
    lacking = [name for name in PACKAGES.get(key, ()) if importlib.util.find_spec(name) is None]
    return f"{key}: left out, {' and '.join(lacking)} is not here: {INSTALL[key]}" if lacking else ""


class StableDiffusionCpp(Caller):
    """stable-diffusion.cpp, as cyllama ships it built; in the numbers of the file, which it is usually run with."""

    def __init__(self, *, key: str, file: Path, folder: Path) -> None:
        self._program: Any = import_module("cyllama.sd")
        found = " ".join(str(self._program.get_system_info()).replace("|", " ").split())
        built = [name for name in ("AVX2", "AVX512") if f"{name} = 1" in found]
        super().__init__(
            key=key,
            words=f"stable-diffusion.cpp in cyllama, built with {' and '.join(built) or 'neither AVX2 nor AVX512'}",
            folder=folder,
        )
        given = self._program.SDContextParams(model_path=str(file))
        given.n_threads = fingerprint.cores()
        given.free_params_immediately = False
        self._context = self._program.SDContext(given)

    def draw(self, requests: Sequence[GenerationRequest]) -> list[Any]:
        methods = self._program.SampleMethod
        return [
            image.to_pil()
            for request in requests
            for image in self._context.generate(
                request.prompt,
                negative_prompt=request.negative_prompt,
                width=request.width,
                height=request.height,
                sample_steps=request.steps,
                cfg_scale=request.guidance_scale,
                seed=request.seed,
                sample_method=getattr(methods, SAMPLERS[request.sampler][0]),
            )
        ]

    def close(self) -> None:
        self._context.close()


class GenAi(Caller):
    """OpenVINO's own pipeline, of the networks that Easel converted."""

    def __init__(self, *, key: str, exported: Path, folder: Path, precision: str) -> None:
        """`precision`: "f32" or "bf16"."""
        super().__init__(key=key, words=f"OpenVINO GenAI's Text2ImagePipeline in {precision}", folder=folder)
        self._program: Any = import_module("openvino_genai")
        self._schedulers = {
            name: self._program.Scheduler.from_config(
                str(exported / "scheduler" / "scheduler_config.json"),
                getattr(self._program.Scheduler.Type, kind),
            )
            for name, (_, kind) in SAMPLERS.items()
        }
        self._pipe = self._program.Text2ImagePipeline(
            str(exported),
            "CPU",
            INFERENCE_NUM_THREADS=fingerprint.cores(),
            INFERENCE_PRECISION_HINT=precision,
        )

    def draw(self, requests: Sequence[GenerationRequest]) -> list[Any]:
        pictures: list[Any] = []
        for request in requests:
            self._pipe.set_scheduler(self._schedulers[request.sampler])
            is_against = (
                request.negative_prompt and request.guidance_scale > 1
            )  # else it refuses even an empty one
            against = {"negative_prompt": request.negative_prompt} if is_against else {}
            drawn = self._pipe.generate(
                request.prompt,
                width=request.width,
                height=request.height,
                num_inference_steps=request.steps,
                guidance_scale=request.guidance_scale,
                rng_seed=request.seed,
                **against,
            )
            pictures.append(Image.fromarray(drawn.data[0]))
        return pictures
