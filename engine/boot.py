"""Gets the real engine ready and lets it work: describe, load, announce, tick; runs in the engine's child only."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import models
from engine.checkpoint import BrokenModel
from engine.contract import Broken, EngineSettings, Event, Loading, ModelInfo, Ready
from engine.drawing import DeviceLost
from engine.process import EXIT_BROKEN, EXIT_DEVICE_LOST, EXIT_OK, parent_alive
from engine.worker import Controls, Worker

if TYPE_CHECKING:
    from engine.models import Place

THREADS_MAX = 16
"""More make the small matrices of one picture slower, not faster."""


def run(settings: EngineSettings, controls: Controls, emit: Callable[[Event], None]) -> int:
    """The engine's life in its process; returns the exit code."""
    try:
        prepare_environment(settings)
        info = models.describe(settings)
        emit(Loading(stage="starting torch", models=(info,)))
        worker, ready = _start(settings, info, controls, emit)
        emit(ready)
        worker.run()
    except BrokenModel as error:
        emit(Broken(reason=str(error)))
        return EXIT_BROKEN
    except DeviceLost as error:
        print(f"easel engine: the device is lost: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_DEVICE_LOST
    return EXIT_OK


def _start(
    settings: EngineSettings, info: ModelInfo, controls: Controls, emit: Callable[[Event], None]
) -> tuple[Worker[Any], Ready]:
    folder = _make_folder(settings)
    pin_arithmetic()
    place = models.choose_place(settings)
    pipeline = models.load(
        settings, place, lambda stage, share: emit(Loading(stage=stage, fraction=share, models=(info,)))
    )
    from engine.families.sd import SdFamily

    ready = Ready(
        device=_device_name(place),
        dtype=str(place.dtype).removeprefix("torch."),
        models=(info,),
        slots=settings.slots,
        fingerprint=_fingerprint(place),
        warnings=place.warnings,
    )
    worker = Worker(
        family=SdFamily(pipeline),
        model=info,
        slots=settings.slots,
        folder=folder,
        controls=controls,
        emit=emit,
        fingerprint=ready.fingerprint,
        keep_on=parent_alive,
    )
    return worker, ready


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


def threads() -> int:
    """CPU threads for torch: the cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(THREADS_MAX, cores)


def pin_arithmetic() -> None:
    """The same request must give the same pixels tomorrow: nothing may be chosen by timing."""
    import torch
    from diffusers.utils.logging import disable_progress_bar
    from transformers.utils.logging import disable_progress_bar as disable_other_progress_bar

    disable_progress_bar()
    disable_other_progress_bar()
    torch.set_num_threads(threads())
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _device_name(place: Place) -> str:
    import torch

    if place.device.type == "cuda":
        _, memory = torch.cuda.mem_get_info(place.device)
        return f"{torch.cuda.get_device_name(place.device)} ({memory / 2**30:.0f} GB)"
    if place.device.type == "cpu":
        return f"CPU ({threads()} thread{'s' if threads() > 1 else ''})"
    return place.device.type.upper()


def _fingerprint(place: Place) -> dict[str, str]:
    """Everything besides the request that the pixels depend on."""
    import torch

    values: dict[str, object] = {
        "device": torch.cuda.get_device_name(place.device)
        if place.device.type == "cuda"
        else place.device.type,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": threads(),
        "torch": torch.__version__,
        "diffusers": importlib.import_module("diffusers").__version__,
        "transformers": importlib.import_module("transformers").__version__,
        "cuda": torch.version.cuda or "",
        "cudnn": torch.backends.cudnn.version() or "",
        "dtype": str(place.dtype).removeprefix("torch."),
        "mode": "exact",
        "width": "1 image",
    }
    return {key: str(value) for key, value in values.items() if value != ""}
