"""What several engine tests share: a worker in this process, and the plain diffusers call to compare with."""

from __future__ import annotations

import base64
import copy
import io
import os
import queue
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from PIL import Image, ImageDraw

from engine import boot, contract, process
from engine.checkpoints import describe
from engine.checkpoints.source import Source
from engine.contract import (
    Cancel,
    Cancelled,
    Control,
    EngineSettings,
    Event,
    Failed,
    Finished,
    GenerationRequest,
    Loading,
    Mode,
    ModelInfo,
    Ready,
    Shutdown,
    Submit,
)
from engine.device.choice import Place
from engine.device.fingerprint import digest
from engine.device.layout import Settled
from engine.families.base import Checker, Family
from engine.loading import load
from engine.loading.opening import Offered
from engine.loop.finishing import Finishing
from engine.loop.job import Loaded
from engine.loop.progress import TELL_EVERY_S
from engine.loop.shelf import Shelf
from engine.loop.widths import Widths
from engine.loop.worker import Worker
from engine.pictures import decoding, inputs
from engine.process import EngineProcess

Ending = Finished | Failed | Cancelled


SIZE_BYTES = 100
"""What a bench's first model takes, by its own word."""


class Bench:
    """A worker with its queue and its events, ticked by hand."""

    def __init__(
        self,
        family: Family,
        model: ModelInfo,
        folder: Path,
        *,
        slots: int = 4,
        preview_every: int = 0,
        others: Sequence[ModelInfo] = (),
        source: Any = None,
        limit: int | None = None,
        tell_every_s: float = TELL_EVERY_S,
        mode: Mode = "exact",
        rows: int = 2,
        unload_after_s: float = 0.0,
        checker: Checker | None = None,
    ) -> None:
        self.controls: queue.Queue[Control] = queue.Queue()
        self.events: list[Event] = []
        loaded = Loaded(
            info=model,
            family=family,
            widths=Widths(mode, rows),
            fingerprint={"engine": "test"},
            size_bytes=SIZE_BYTES,
        )
        self.worker = Worker(
            shelf=Shelf(loaded, others, source, limit=limit, unload_after_s=unload_after_s),
            slots=slots,
            finishing=Finishing(folder),
            controls=self.controls,
            emit=self.events.append,
            preview_every=preview_every,
            tell_every_s=tell_every_s,
            checker=checker,
        )

    def submit(self, job_id: int, request: GenerationRequest, attempt: int = 1) -> None:
        self.controls.put(Submit(job_id=job_id, attempt=attempt, request=request))

    def cancel(self, job_id: int, attempt: int = 1) -> None:
        self.controls.put(Cancel(job_id=job_id, attempt=attempt))

    def of(self, job_id: int) -> list[Event]:
        return [event for event in self.events if getattr(event, "job_id", None) == job_id]

    def ending(self, job_id: int) -> Ending | None:
        return next((event for event in self.of(job_id) if isinstance(event, Ending)), None)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.worker.tick()

    def finish(self, *job_ids: int, ticks: int = 20_000) -> None:
        """Ticks until each of these jobs has ended."""
        for _ in range(ticks):
            if all(self.ending(job_id) for job_id in job_ids):
                return
            assert self.worker.tick()
        raise AssertionError(f"jobs {job_ids} did not end: {self.events[-5:]}")

    def finished(self, job_id: int) -> Finished:
        self.finish(job_id)
        ending = self.ending(job_id)
        assert isinstance(ending, Finished), ending
        return ending


class House:
    """A real engine with the tiny model and much beside it, which many tests share: it is to stay alive.

    `folder` has further checkpoints (`other`, `broken`, `filling`, `xl`, `flux`), LoRAs, embeddings and upscalers.
    """

    def __init__(self, tiny: Path, folder: Path, spool: Path) -> None:
        self.folder = folder
        self.inputs = spool / inputs.FOLDER
        settings = EngineSettings(
            model=str(tiny), models=str(folder), spool=str(spool), device="cpu", preview_every=2
        )
        self.process = process.start(settings)
        ready = recv_until(self.process, lambda event: not isinstance(event, Loading))[-1]
        assert isinstance(ready, Ready), ready
        self.ready = ready
        self.jobs = 0

    def model(self, name: str) -> ModelInfo:
        (found,) = (model for model in self.ready.models if model.id == name)
        return found

    def finish(self, *requests: GenerationRequest) -> tuple[list[Finished], list[Event]]:
        """Asks for all of these at once; returns what they ended as and everything told until then."""
        jobs = range(self.jobs + 1, self.jobs + 1 + len(requests))
        self.jobs += len(requests)
        for job, request in zip(jobs, requests, strict=True):
            self.process.send(Submit(job_id=job, attempt=1, request=request))
        endings, events = recv_endings(self.process, *jobs)
        done: list[Finished] = []
        for job in jobs:
            ending = endings[job]
            assert isinstance(ending, Finished), ending
            done.append(ending)
        return done, events


def announced(settings: EngineSettings) -> list[Event]:
    """What a real engine in this process tells until it is ready; then it is told to leave."""
    controls: queue.Queue[Control] = queue.Queue()
    events: list[Event] = []

    def note(event: Event) -> None:
        events.append(event)
        if isinstance(event, Ready):
            controls.put(Shutdown())

    with patch.dict(os.environ):  # an engine has a process of its own, and changes what that inherits
        assert boot.run(settings, controls, note) == contract.EXIT_OK
    return events


def recv(engine: EngineProcess, timeout_s: float = 60.0) -> Event:
    """The next event of a real process; fails the test rather than hang."""
    assert engine.events.poll(timeout_s), f"no event within {timeout_s} s"
    return engine.events.recv()


def recv_until(
    engine: EngineProcess, wanted: Callable[[Event], bool], timeout_s: float = 60.0
) -> list[Event]:
    """All events up to and with the first wanted one."""
    events: list[Event] = []
    while not (events and wanted(events[-1])):
        events.append(recv(engine, timeout_s))
    return events


def recv_endings(engine: EngineProcess, *job_ids: int) -> tuple[dict[int, Ending], list[Event]]:
    """Reads until each of these jobs has ended; returns the endings and everything read."""
    endings: dict[int, Ending] = {}
    events: list[Event] = []
    while set(job_ids) - set(endings):
        events.append(event := recv(engine))
        if isinstance(event, Ending):
            endings[event.job_id] = event
    return endings, events


TUTORIAL: dict[str, tuple[str, dict[str, Any]]] = {
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler a": ("EulerAncestralDiscreteScheduler", {}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DPM++ 2M Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "DPM++ 2M SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "DPM++ 2M SDE Karras": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True},
    ),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "DDIM": ("DDIMScheduler", {}),
    "DDPM": ("DDPMScheduler", {}),
    "PNDM": ("PNDMScheduler", {}),
    "DEIS": ("DEISMultistepScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "DPM2": ("KDPM2DiscreteScheduler", {}),
    "DPM2 a": ("KDPM2AncestralDiscreteScheduler", {}),
    "LCM": ("LCMScheduler", {}),
    "TCD": ("TCDScheduler", {}),
}
"""What diffusers' documentation tells people to write for each sampler: `X.from_config(pipe.scheduler.config, …)`."""


def plain(
    pipe: Any,
    request: GenerationRequest,
    seed: int,
    output_type: str,
    *,
    image: Image.Image | None = None,
    mask: Image.Image | None = None,
) -> Any:
    """What `pipe(…)` itself gives for one image of this request: a latent tensor or a PIL image.

    With an image (and a mask) that is diffusers' pipeline for those, made of the same parts.
    """
    import torch

    given = _scheduled(request, is_xl=hasattr(pipe, "text_encoder_2"))
    if image is not None:
        given |= {"image": image, "strength": request.strength}
        pipe = _from_images(pipe, "Img2Img" if mask is None else "Inpaint")
    if image is None or mask is not None:
        given |= {"width": request.width, "height": request.height}
    if mask is not None:
        given["mask_image"] = mask
    own = pipe.scheduler
    pipe.scheduler = _tutorial_scheduler(own, request.sampler)
    if request.schedule == "SGM Uniform":
        made = pipe.scheduler
        pipe.scheduler = type(made).from_config(made.config, timestep_spacing="trailing")
    try:
        return pipe(
            request.prompt,
            negative_prompt=request.negative_prompt or None,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type=output_type,
            **given,
        ).images[0]
    finally:
        pipe.scheduler = own


def _scheduled(request: GenerationRequest, *, is_xl: bool) -> dict[str, Any]:
    """The arguments that diffusers' documentation names for schedules, guidance that ends, and TCD."""
    from diffusers.callbacks import SDCFGCutoffCallback, SDXLCFGCutoffCallback
    from diffusers.schedulers.scheduling_utils import AysSchedules

    given: dict[str, Any] = {"num_inference_steps": request.steps}
    if request.schedule == "AYS":
        kind = "StableDiffusionXL" if is_xl else "StableDiffusion"
        given = {"timesteps": AysSchedules[f"{kind}Timesteps"], "num_inference_steps": None}
    if request.guidance_until < 1:
        callback = SDXLCFGCutoffCallback if is_xl else SDCFGCutoffCallback
        given["callback_on_step_end"] = callback(cutoff_step_ratio=request.guidance_until)
    return given | ({"eta": 0.3} if request.sampler == "TCD" else {})


_made: dict[str, tuple[Any, Any]] = {}
"""A model's own scheduler and the one made of it, as it was then: making a DPM2 takes 0.4 s."""


def _tutorial_scheduler(own: Any, sampler: str) -> Any:
    """Another one each time, as fresh as if it had just been made."""
    import diffusers

    name, flags = TUTORIAL[sampler]
    made_of, made = _made.get(sampler, (None, None))
    if made_of is not own:
        made = getattr(diffusers, name).from_config(own.config, **flags)
        _made[sampler] = own, made
    return copy.deepcopy(made)


def _from_images(pipe: Any, task: str) -> Any:
    import diffusers

    own = {"requires_safety_checker": False}
    kind = "StableDiffusion"
    if hasattr(pipe, "text_encoder_2"):
        own = {
            "force_zeros_for_empty_prompt": pipe.config.force_zeros_for_empty_prompt,
            "add_watermarker": False,
        }
        kind = "StableDiffusionXL"
    pipe = getattr(diffusers, f"{kind}{task}Pipeline")(**pipe.components, **own)
    pipe.set_progress_bar_config(disable=True)
    return pipe


_decode = decoding.begun
_begun: dict[tuple[Any, ...], decoding.Inputs] = {}
"""What pictures start from, by the digests of the files: each time it would take a process of its own."""


def begun(folder: Path, request: GenerationRequest) -> decoding.Inputs | None:
    """As `engine.pictures.decoding` has it; the same files are decoded once."""
    if not request.inputs:
        return None
    asked = (request.inputs, request.width, request.height, request.is_seedless)
    if asked not in _begun:
        found = _decode(folder, request)
        assert found is not None
        _begun[asked] = found
    return _begun[asked]


def draw(family: Family, request: GenerationRequest, folder: Path = Path()) -> Any:
    """A canvas with all its steps, drawn alone; what it starts from lies in `folder`."""
    canvas = family.prepare(request, request.seed, begun(folder, request))
    while canvas.left:
        (prediction,) = family.predict([canvas], padded=None)
        family.advance(canvas, prediction, look=False)
    return canvas


def a_photo(size: tuple[int, int] = (100, 80), seed: int = 0) -> Image.Image:
    """A picture of many colours, none of them everywhere."""
    noise = random.Random(seed).randbytes(12 * 10 * 3)
    return Image.frombytes("RGB", (12, 10), noise).resize(size, Image.Resampling.BICUBIC)


def a_mask(size: tuple[int, int] = (100, 80)) -> Image.Image:
    """White to the right of a slanted line."""
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).polygon([(size[0] // 2, 0), (size[0] // 3, size[1]), size, (size[0], 0)], fill=255)
    return mask


def kept(folder: Path, image: Image.Image) -> str:
    """The digest under which this picture's PNG lies in `folder`."""
    return inputs.keep(folder, encoded(image))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def bomb(side: int = 50_000) -> bytes:
    """A PNG of a few bytes whose header promises a picture of this many pixels a side."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    header = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + encoded(a_photo())[33:]


def many_scans(times: int) -> bytes:
    """A JPEG whose last scan, which changes nothing, comes so many times."""
    data = encoded(a_photo(), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * times + data[-2:]


NO_IMAGES: dict[str, tuple[bytes, str]] = {
    "one pixel": (encoded(Image.new("RGB", (1, 1))), "has 1x1 pixels: attach one of at least 64 a side"),
    "a bomb": (bomb(), "too large: attach one of at most 67 million pixels"),
    "a small bomb": (bomb(9_000), "too large: attach one of at most 67 million pixels"),
    "a WebP of a few bytes and a gigabyte": (
        base64.b64decode("UklGRhoAAABXRUJQVlA4TA4AAAAvb9fbBQcQEf0PRET/Aw=="),  # 6000 x 6000, black, lossless
        "too large: attach one of at most 26 million pixels",
    ),
    "a JPEG of a thousand scans": (many_scans(1000), "stored in an unusual way: save it anew"),
    "DDS": (encoded(a_photo(), "DDS"), "can't be read as PNG, JPEG or WebP"),
    "DDS that Pillow does not know": (
        b"DDS "
        + struct.pack("<7I44x8I", 124, 0x1007, 64, 64, 0, 0, 0, 32, 4, 0x30315844, 0, 0, 0, 0, 0)
        + bytes(200),
        "can't be read as PNG, JPEG or WebP",
    ),
    "a truncated PNG": (encoded(a_photo())[:-200], "damaged: save it anew"),
    "a truncated JPEG": (encoded(a_photo(), "JPEG")[:-200], "damaged: save it anew"),
    "a truncated WebP": (encoded(a_photo(), "WEBP")[:-200], "damaged: save it anew"),
    "a header alone": (encoded(a_photo())[:33], "can't be read as PNG, JPEG or WebP"),
    "text": (b"this was notes.txt" * 100, "can't be read as PNG, JPEG or WebP"),
    "SVG": (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>',
        "can't be read as PNG, JPEG or WebP",
    ),
    "GIF": (encoded(a_photo(), "GIF"), "can't be read as PNG, JPEG or WebP"),
    "nothing": (b"", "can't be read as PNG, JPEG or WebP"),
}
"""Files that no picture can start from, and what is said about them."""


def pixels(path: str | None) -> bytes:
    """Of a finished picture's file."""
    with Image.open(str(path)) as image:
        return image.tobytes()


def described(settings: EngineSettings) -> ModelInfo:
    """What the model offers that these settings name."""
    return describe.describe(Source.of(settings.model), settings)


def settled(settings: EngineSettings, place: Place, on_progress: load.OnProgress = load.untold) -> Settled:
    """The pipeline of the model that these settings name, where `place` wants it."""
    return load.load(Source.of(settings.model), settings, place, on_progress)


def digest_of(settings: EngineSettings) -> str:
    """Of the weights of the model that these settings name."""
    return digest(Source.of(settings.model))


def offered(**settings: EngineSettings) -> dict[str, Offered]:
    """As an engine offers models: by their ids, each as its settings name it."""
    return {
        name: Offered(source=Source.of(told.model), info=described(told)) for name, told in settings.items()
    }
