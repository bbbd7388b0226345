"""The model on its device, for all sides alike, and what this machine can do; knows no workload and no worker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.checkpoints import describe
from engine.checkpoints.architectures import BY_FAMILY, SDXL
from engine.checkpoints.source import Source
from engine.contract import WIDE_ROWS, EngineSettings, GenerationRequest, ModelInfo
from engine.device import choice, fingerprint, memory
from engine.errors import BrokenModel
from engine.loading import load as models
from engine.openvino import files
from engine.openvino.files import Wanted
from engine.pictures import inputs
from engine.unet.costs import Costs, measure
from workshop.bench import workloads

if TYPE_CHECKING:
    from engine.device.choice import Place
    from engine.device.layout import Layout, Settled
    from engine.families.preview import Sketcher
    from engine.families.sd import SdFamily

SD15_RANDOM, SDXL_RANDOM = "sd15-random", "sdxl-random"
"""The architectures of Stable Diffusion 1.5 and XL with random weights: as fast as the real ones, nothing to download."""
SD15_TINY, SDXL_TINY = "sd15-tiny", "sdxl-tiny"
"""The same with few and narrow layers: a run of a benchmark is tried with them, and their speed says nothing."""
RANDOM = (SD15_RANDOM, SDXL_RANDOM, SD15_TINY, SDXL_TINY)
CONVERTED = "openvino"
"""Folder of what is converted, beside that of the inputs."""
_RANDOM_BYTES = {SD15_RANDOM: 6 * 10**9, SDXL_RANDOM: 20 * 10**9}
"""What making them in float32, and then several pictures at once, takes of a GPU."""
_SQUARE = {"cuda": 8192}
_SQUARE_ELSEWHERE = 2048
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One pipeline, loaded as the engine loads it."""

    pipeline: Any
    info: ModelInfo
    lies: Layout
    """Where its parts are."""
    place: Place
    switches: Mapping[str, str]
    """What is turned on, for all sides alike."""
    facts: Mapping[str, str]
    """Everything that the pixels and the speed depend on."""
    sketcher: Sketcher
    inputs: Path
    """Folder of the images that pictures start from."""
    images: tuple[str, ...]
    """Their digests."""

    @property
    def kind(self) -> type[SdFamily]:
        from engine.families.sd import SdFamily
        from engine.families.sdxl import SdxlFamily

        return SdxlFamily if self.info.family == SDXL.family else SdFamily

    def family(self) -> SdFamily:
        """A family of its own for each worker: it keeps the texts that it has encoded."""
        return self.kind(self.pipeline, self.sketcher, lies=self.lies)

    @property
    def converted(self) -> Path:
        """Where its networks are kept when they are converted for OpenVINO."""
        return self.inputs.parent / CONVERTED / f"{self.info.id}-{'0' * 16}"

    def hastened_family(self, slots: int) -> SdFamily:
        """The same on OpenVINO, which is converted first: nobody draws meanwhile. Raises RuntimeError where it can't be."""
        from engine.openvino.runtime import OpenVino

        if self.place.device.type != "cpu":
            raise RuntimeError("OpenVINO is for processors")
        family, size = self.family(), (self.info.width, self.info.height)
        wanted = Wanted(
            folder=self.converted,
            rows_max=min(max(WIDE_ROWS), 2 * slots),
            threads_max=fingerprint.cores(),
            worth=None,
        )
        runtime = OpenVino(self.pipeline.unet, self.pipeline.vae, family.forwards.blank(2, size), wanted)
        runtime.begin()
        runtime.wait()
        if not runtime.is_in_use:
            raise RuntimeError(files.failure(self.converted) or "it is not used")
        family.forwards.runtime = runtime
        return family

    def pipeline_from_images(self) -> Any:
        """diffusers' own pipeline for images, made of the same parts."""
        diffusers: Any = import_module("diffusers")
        name = f"StableDiffusion{'XL' if self.info.family == 'sdxl' else ''}Img2ImgPipeline"
        unchecked = {} if self.info.family == SDXL.family else {"requires_safety_checker": False}
        pipeline = getattr(diffusers, name)(**self.pipeline.components, **unchecked)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def synchronize(self) -> None:
        if self.place.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.place.device)

    def rows_of(self, request: GenerationRequest) -> int:
        """UNet rows of one picture: a call with guidance has two, unless the model takes the scale as an input."""
        is_guided = request.guidance_scale > 1 and self.pipeline.unet.config.time_cond_proj_dim is None
        return request.evaluations * (2 if is_guided else 1)


def load(settings: EngineSettings, tell: models.OnProgress) -> Machine:
    """The model where the settings want it. Raises BrokenModel or Unreachable with a sentence."""
    fingerprint.prepare_environment(settings)
    place = choice.choose_place(settings)
    if settings.model in RANDOM:
        from workshop.bench import sd15, sdxl

        is_tiny = settings.model in {SD15_TINY, SDXL_TINY}
        if not is_tiny:
            _check_room(settings, place)
        kind = sd15 if settings.model in {SD15_RANDOM, SD15_TINY} else sdxl
        info = kind.describe(is_tiny=is_tiny)
        fingerprint.pin(info)
        settled = kind.build(place, is_tiny=is_tiny)
    else:
        source = Source.of(settings.model)
        info = describe.describe(source, settings)
        if BY_FAMILY[info.family].is_called:
            raise BrokenModel("The benchmark draws with Stable Diffusion and SDXL only: choose such a model.")
        fingerprint.pin(info)
        settled = models.load(source, settings, place, tell)
        info = describe.describe(source, settings)  # now by the files themselves
    return _assembled(settings, settled, info, place)


def _check_room(settings: EngineSettings, place: Place) -> None:
    """SDXL on a processor would take hours, and its making more memory than most machines have."""
    if settings.profile not in {"auto", "full"}:
        return  # made with the processor, for a card that is known to be small
    free, wanted = memory.reclaim(place.device), _RANDOM_BYTES[settings.model]
    if settings.model == SDXL_RANDOM and place.device.type != "cuda":
        raise BrokenModel(f"{SDXL_RANDOM} is drawn with a GPU only: choose a smaller model.")
    if place.device.type == "cuda" and free is not None and free < wanted:
        raise BrokenModel(
            f"{settings.model} needs {wanted / 1e9:.0f} GB of the GPU's memory, of which {free / 1e9:.1f} GB are free."
        )


def _assembled(settings: EngineSettings, settled: Settled, info: ModelInfo, place: Place) -> Machine:
    from engine.families import preview
    from engine.unet import switches

    folder = Path(settings.spool) / inputs.FOLDER
    takes = (
        [inputs.keep(folder, data) for data in workloads.pictures((info.width, info.height))]
        if info.takes_images
        else []
    )
    pipeline = settled.pipeline
    pipeline.set_progress_bar_config(disable=True)
    told = switches.told(settings)  # nothing is chosen here: both sides run what the command line says
    switches.turn_on(pipeline, told)
    return Machine(
        pipeline=pipeline,
        lies=settled.layout,
        info=info,
        place=place,
        switches=told,
        facts={**fingerprint.fingerprint(place), **told},
        sketcher=preview.LinearSketcher(pipeline.vae, settled.layout.device),
        inputs=folder,
        images=tuple(takes),
    )


# ------------------------------------------------------------------ what it can do


def costs(machine: Machine, budget_s: float) -> Costs:
    """Seconds of a forward by its rows."""
    forwards = machine.family().forwards
    size = machine.info.width, machine.info.height
    return measure(lambda rows: forwards.rehearse(rows, size), budget_s=budget_s)


def flops_of_row(machine: Machine) -> float:
    """Floating-point operations of a forward per row, a multiply-add counted as two."""
    counter: Any = import_module("torch.utils.flop_counter").FlopCounterMode(display=False)
    with counter:
        machine.family().forwards.rehearse(2, (machine.info.width, machine.info.height))
    return counter.get_total_flops() / 2


def matmul_flops(machine: Machine) -> float:
    """Operations a second of the best of some large matrix products in the model's dtype: the roof of this machine."""
    import torch

    side = _SQUARE.get(machine.place.device.type, _SQUARE_ELSEWHERE)
    one, other = (torch.randn(side, side).to(machine.place.device, machine.place.dtype) for _ in range(2))
    best = float("inf")
    for _ in range(1 + _TRIES):
        begin = time.perf_counter()
        torch.matmul(one, other)
        machine.synchronize()
        best = min(best, time.perf_counter() - begin)
    return 2 * side**3 / best


# ------------------------------------------------------------------ memory


def peak_bytes(machine: Machine, act: Callable[[], object]) -> int | None:
    """The most that was reserved while `act` ran: by CUDA's allocator, on a CPU by how much the process grew.

    None where nobody can tell.
    """
    if machine.place.device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(machine.place.device)
        act()
        return torch.cuda.max_memory_reserved(machine.place.device)
    before = _forget_peak()
    act()
    after = process_bytes("VmHWM")
    return None if before is None or after is None else max(0, after - before)


def _forget_peak() -> int | None:
    """Linux only: what the process holds now, which is its peak from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return process_bytes("VmRSS")


def process_bytes(key: str) -> int | None:
    """Linux only: what this process holds ("VmRSS"), or held at most ("VmHWM")."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(rf"(?m)^{key}:\s+(\d+) kB$", text)
    return int(found[1]) * 1024 if found else None
