"""Gets the real engine ready and lets it work: describe, load, announce, tick; runs in the engine's child only."""

from __future__ import annotations

import importlib
import importlib.metadata
import itertools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from engine import memory, models, probe
from engine.checkpoint import BrokenModel
from engine.contract import Broken, EngineSettings, Event, Loading, ModelInfo, Ready
from engine.drawing import DeviceLost, Family, Manner
from engine.hub import Unreachable
from engine.process import EXIT_BROKEN, EXIT_DEVICE_LOST, EXIT_OK, Leave, parent_alive, wait
from engine.worker import Controls, Worker

if TYPE_CHECKING:
    from engine.families.sd import SdFamily
    from engine.models import Place
    from engine.placing import Layout
    from engine.preview import Sketcher

THREADS_MAX = 16
"""More make the small matrices of one picture slower, not faster."""
SMALL_PIXELS = 256 * 256
"""Models of pictures up to here have matrices too small to be shared: waiting for each other takes longer than it saves."""
ACQUAINTING = "getting to know this machine"
PAUSES_S = (5.0, 15.0, 30.0, 60.0)
"""Between tries to reach the hub; the last one is repeated."""
_Got = TypeVar("_Got")


class Tested(Family[Any], Protocol):
    """A family that can be tried out before anybody draws with it."""

    def self_test(self, size: tuple[int, int]) -> None:
        """Draws a little at `size` (width, height), for nobody. Raises NotFinite, or what the device raises."""
        ...


def run(settings: EngineSettings, controls: Controls, emit: Callable[[Event], None]) -> int:
    """The engine's life in its process; returns the exit code."""
    try:
        worker, ready = _get_ready(settings, controls, emit)
        emit(ready)
        worker.run()
    except Leave:
        return EXIT_OK
    except BrokenModel as error:
        emit(Broken(reason=str(error)))
        return EXIT_BROKEN
    except DeviceLost as error:
        print(f"easel engine: the device is lost: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_DEVICE_LOST
    return EXIT_OK


def _get_ready(
    settings: EngineSettings, controls: Controls, emit: Callable[[Event], None]
) -> tuple[Worker[Any], Ready]:
    """Whatever goes wrong here would go wrong again: no new engine is to be started for it."""
    try:
        prepare_environment(settings)
        info = _patiently(lambda: models.describe(settings), controls, emit)
        emit(Loading(stage="starting torch", models=(info,)))
        return _start(settings, info, controls, emit)
    except (BrokenModel, DeviceLost, ImportError, Leave):
        raise
    except Exception as error:
        _check_device(error)
        traceback.print_exc()
        raise BrokenModel(
            f"The model can't be loaded ({type(error).__name__}): check the model's files; "
            "the engine's log says where it failed."
        ) from error


def _check_device(error: Exception) -> None:
    """Raises DeviceLost for what a new process may survive; without torch there can't be such an error."""
    if "torch" in sys.modules:
        from engine import faults

        faults.check_device(error)


def _patiently(
    act: Callable[[], _Got],
    controls: Controls,
    emit: Callable[[Event], None],
    described: tuple[ModelInfo, ...] = (),
) -> _Got:
    """Tries again for as long as the hub can't be reached. Raises Leave when told to go meanwhile."""
    for pause in itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1])):
        try:
            return act()
        except Unreachable as error:
            print(f"easel engine: {error}", file=sys.stderr)  # noqa: T201
        stage = f"the model hub can't be reached; trying again in {pause:.0f} s"
        emit(Loading(stage=stage, models=described))
        wait(pause, controls)
    raise AssertionError  # the pauses never end


def _start(
    settings: EngineSettings, info: ModelInfo, controls: Controls, emit: Callable[[Event], None]
) -> tuple[Worker[Any], Ready]:
    from engine import placing
    from engine.families.sd import SdFamily

    folder = _make_folder(settings)
    pin_arithmetic(info)
    place = models.choose_place(settings, info.family)
    if info.family == "any":
        settings = replace(settings, mode="exact")  # its pictures share no forward
    known = (info,)

    def tell(stage: str, share: float | None = None) -> None:
        emit(Loading(stage=stage, fraction=share, models=known))

    pipeline = _patiently(lambda: models.load(settings, place, tell), controls, emit, known)
    info = _patiently(lambda: models.describe(settings), controls, emit, known)  # now by the files themselves
    tell(ACQUAINTING)
    settings = placing.allowed(settings, pipeline)
    info = _fitted(info, pipeline, settings, place)
    family = _family(pipeline, settings, info)
    _examine(family, info, place)
    switches, costs = {}, None
    if isinstance(family, SdFamily):
        switches, costs = _acquaint(family, pipeline, settings, info, place, lambda: tell(ACQUAINTING))
    manner = _manner(settings, costs)
    ready = _announcement(settings, info, placing.of(pipeline), manner, switches, costs, place.warnings)
    if isinstance(family, SdFamily) and settings.mode == "fast" and settings.compile == "on":
        family.compile_behind(probe.widths_up_to(manner.rows), (info.width, info.height))
    worker = Worker(
        family=family,
        model=info,
        manner=manner,
        folder=folder,
        controls=controls,
        emit=emit,
        fingerprint=ready.fingerprint,
        keep_on=parent_alive,
    )
    return worker, ready


def _announcement(
    settings: EngineSettings,
    info: ModelInfo,
    layout: Layout,
    manner: Manner,
    switches: dict[str, str],
    costs: probe.Costs | None,
    warnings: tuple[str, ...],
) -> Ready:
    measured = probe.sentences(costs, settings.mode, settings.rows, settings.slots) if costs else ()
    return Ready(
        device=_device_name(layout),
        dtype=str(layout.dtype).removeprefix("torch."),
        models=(info,),
        slots=settings.slots,
        fingerprint={
            **fingerprint(layout),
            **layout.changes,
            **switches,
            "weights": models.digest(settings),
            "mode": settings.mode,
            "width": _width(manner),
        },
        warnings=(*warnings, *_idle_rows(settings)),
        notes=(*layout.notes, *measured),
    )


def _manner(settings: EngineSettings, costs: probe.Costs | None) -> Manner:
    """How images share forwards; fast fills them up to where more rows no longer pay, if that was measured."""
    knee = min(costs.knee, 2 * settings.slots) if costs else settings.rows
    return Manner(
        slots=settings.slots,
        mode=settings.mode,
        rows=knee if settings.mode == "fast" else settings.rows,
        preview_every=settings.preview_every,
    )


def _width(manner: Manner) -> str:
    """Of a forward, as fingerprints name it."""
    rows = f"{manner.rows} rows"
    return {"exact": "1 image", "wide": rows, "fast": f"up to {rows}"}[manner.mode]


def _idle_rows(settings: EngineSettings) -> Iterator[str]:
    if settings.mode == "wide" and settings.rows > 2 * settings.slots:
        yield (
            f"With {settings.slots} slots at most {2 * settings.slots} of the {settings.rows} rows are ever used: "
            "raise slots or lower rows under [engine]."
        )


def _family(pipeline: Any, settings: EngineSettings, info: ModelInfo) -> Tested:
    from engine import inputs
    from engine.families.anything import AnyFamily
    from engine.families.sd import SdFamily
    from engine.families.sdxl import SdxlFamily
    from engine.pipelines import CALLS

    sketcher = _sketcher(pipeline, settings)
    if info.family == "any":
        call = CALLS[type(pipeline).__name__]
        return AnyFamily(
            pipeline, sketcher, side_min=info.side_min, guidance=call.argument, negative=call.negative
        )
    family = SdxlFamily if info.family == "sdxl" else SdFamily
    folder = Path(settings.spool) / inputs.FOLDER
    return family(pipeline, sketcher, side_min=info.side_min, inputs=folder)


def _sketcher(pipeline: Any, settings: EngineSettings) -> Sketcher | None:
    """None where no previews are wanted, or the latents are of another kind than pictures in small."""
    from engine import placing, preview

    if not settings.preview_every or type(pipeline.vae).__name__ != "AutoencoderKL":
        return None
    if settings.preview_model:
        return preview.TinySketcher(settings.preview_model, pipeline.vae.config.latent_channels)
    return preview.LinearSketcher(pipeline.vae, placing.of(pipeline).device)


def _fitted(info: ModelInfo, pipeline: Any, settings: EngineSettings, place: Place) -> ModelInfo:
    """With the largest size that the free memory has room for."""
    from engine import placing

    free = memory.free_bytes(place.device)
    if free is None or info.family == "any":  # how much those take nobody knows beforehand
        return info
    rows = settings.rows if settings.mode == "wide" else 2
    return memory.fitted(info, placing.needs(pipeline).largest(free, rows))


def _examine(family: Tested, info: ModelInfo, place: Place) -> None:
    """The self-test before Ready: a small picture is drawn and thrown away."""
    from engine.families.trouble import NotFinite

    side = -(-info.side_min // info.side_multiple) * info.side_multiple
    try:
        family.self_test((side, side))
    except NotFinite as error:
        dtype = str(place.dtype).removeprefix("torch.")
        raise BrokenModel(
            f"The model {info.title} draws no numbers in {dtype} on this device: set dtype to "
            f"“{'float32' if dtype != 'float32' else 'auto'}” under [engine], or download the model again."
        ) from error
    except Exception as error:
        if family.is_out_of_memory(error):
            raise BrokenModel(
                f"There is no memory left to draw with {info.title}, not even {side}x{side}: "
                "end what else uses the device, or choose a smaller model."
            ) from error
        raise


def _acquaint(
    family: SdFamily,
    pipeline: Any,
    settings: EngineSettings,
    info: ModelInfo,
    place: Place,
    go_on: Callable[[], None],
) -> tuple[dict[str, str], probe.Costs | None]:
    """(switches that are on, what forwards cost): as found at an earlier start with the same facts, or found now.

    `go_on` is called after each forward: on a slow machine finding out takes minutes.
    """
    from engine import placing, tuning

    if settings.data is None:
        tuning.turn_on(pipeline, tuning.told(settings))
        return tuning.told(settings), None
    size, folder = (info.width, info.height), Path(settings.data)
    facts = {
        **fingerprint(place),
        "model": info.id,
        "profile": placing.of(pipeline).plan.profile,
        "size": "x".join(map(str, size)),
        "mode": settings.mode,
        "rows": str(settings.rows),
        "channels_last": settings.channels_last,
        "fused_qkv": settings.fused_qkv,
    }
    key = probe.key_of(facts)
    if (costs := probe.read(folder, key)) is not None:
        switches = probe.read_switches(folder, key)
        tuning.turn_on(pipeline, switches)
        return switches, costs

    def rehearse(count: int) -> None:
        family.rehearse(count, size)
        go_on()

    rows = 2 if settings.mode == "exact" else min(settings.rows, 2 * settings.slots)
    switches = tuning.choose(pipeline, settings, lambda: rehearse(rows))
    costs = probe.measure(rehearse)
    probe.keep(folder, key, costs, facts, switches)
    return switches, costs


def prepare_environment(settings: EngineSettings) -> None:
    """Before anything is imported that reads it.

    diffusers would otherwise log the words cut from prompts; and OpenMP's threads would spin while they wait, which on
    cores shared with others made drawing five times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.update(
        DIFFUSERS_VERBOSITY="error",
        TRANSFORMERS_VERBOSITY="error",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_XET="1",
        TOKENIZERS_PARALLELISM="false",
    )
    if settings.hub_offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


def _make_folder(settings: EngineSettings) -> Path:
    folder = Path(settings.spool)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BrokenModel(
            f"The folder for finished pictures can't be made ({error.strerror}): check its path and permissions."
        ) from None
    return folder


def threads(info: ModelInfo) -> int:
    """CPU threads for torch: OMP_NUM_THREADS where it is set, else the cores this process may use, for small models one."""
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if told.isdecimal() and int(told):
        return int(told)
    if info.width * info.height <= SMALL_PIXELS:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(THREADS_MAX, cores)


def pin_arithmetic(info: ModelInfo) -> None:
    """The same request must give the same pixels tomorrow: nothing may be chosen by timing."""
    import torch
    from diffusers.utils.logging import disable_progress_bar
    from transformers.utils.logging import disable_progress_bar as disable_other_progress_bar

    disable_progress_bar()
    disable_other_progress_bar()
    torch.set_num_threads(threads(info))
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _device_name(place: Place | Layout) -> str:
    import torch

    if place.device.type == "cuda":
        _, memory = torch.cuda.mem_get_info(place.device)
        return f"{torch.cuda.get_device_name(place.device)} ({memory / 2**30:.0f} GB)"
    if place.device.type == "cpu":
        count = torch.get_num_threads()
        return f"CPU ({count} thread{'s' if count > 1 else ''})"
    return place.device.type.upper()


def fingerprint(place: Place | Layout) -> dict[str, str]:
    """Everything besides request and mode that the pixels depend on."""
    import torch

    values: dict[str, object] = {
        "device": torch.cuda.get_device_name(place.device)
        if place.device.type == "cuda"
        else place.device.type,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "diffusers": importlib.import_module("diffusers").__version__,
        "transformers": importlib.import_module("transformers").__version__,
        "compel": importlib.metadata.version("compel"),
        "cuda": torch.version.cuda or "",
        "driver": driver() if place.device.type == "cuda" else "",
        "cudnn": torch.backends.cudnn.version() or "",
        "dtype": str(place.dtype).removeprefix("torch."),
    }
    return {key: str(value) for key, value in values.items() if value != ""}


def driver(source: Path = Path("/proc/driver/nvidia/version")) -> str:
    """The version of NVIDIA's kernel driver, "" where Linux does not tell."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", source.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[1] if found else ""
