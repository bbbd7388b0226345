"""What pixels depend on besides the request: threads, libraries, the device; pins what may be chosen, names the rest.

Knows no model's insides, no queue and no job.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.checkpoints import folder, header, vae_approx
from engine.checkpoints.source import Source, SourceKind
from engine.contract import TINY, EngineSettings, ModelInfo
from engine.errors import BrokenModel

if TYPE_CHECKING:
    from engine.device.choice import Place

THREADS_MAX = 16
"""More make the small matrices of one picture slower, not faster."""
SMALL_PIXELS = 256 * 256
"""Models of pictures up to here have matrices too small to be shared: waiting for each other takes longer than it saves."""


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


def threads(info: ModelInfo) -> int:
    """CPU threads for torch: OMP_NUM_THREADS where it is set, else the cores this process may use, for small models one."""
    is_small = info.width * info.height <= SMALL_PIXELS
    return 1 if is_small and not _told_threads() else cores()


def cores() -> int:
    """Threads that anything may have here: OMP_NUM_THREADS where it is set, else the cores this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _told_threads() or min(THREADS_MAX, found)


def _told_threads() -> int:
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(told) if told.isdecimal() else 0


def pin(info: ModelInfo) -> None:
    """The same request must give the same pixels tomorrow: nothing may be chosen by timing."""
    import torch
    from diffusers.utils.logging import disable_progress_bar
    from transformers.utils.logging import disable_progress_bar as disable_other_progress_bar

    disable_progress_bar()
    disable_other_progress_bar()
    torch.set_num_threads(threads(info))
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def device_name(place: Place) -> str:
    import torch

    if place.device.type == "cuda":
        _, memory = torch.cuda.mem_get_info(place.device)
        return f"{torch.cuda.get_device_name(place.device)} ({memory / 2**30:.0f} GB)"
    if place.device.type == "cpu":
        count = torch.get_num_threads()
        return f"CPU ({count} thread{'s' if count > 1 else ''})"
    return place.device.type.upper()


def fingerprint(place: Place) -> dict[str, str]:
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


_DIGEST_BYTES = 2**18


def digest(source: Source) -> str:
    """A few letters for the weights that draw, the UNet's or transformer's: by the sizes of its files, their beginnings and ends.

    Raises BrokenModel where there are none: any two models that are missing would look alike.
    """
    return _digest(_core_files(source), source.id)


def decoder(source: Source, info: ModelInfo, models: str | None) -> dict[str, str]:
    """What makes pictures of the model's latents, by its weights; nothing where its own VAE does. Raises BrokenModel."""
    found = vae_approx.find(source, info.family, models) if info.decoder == TINY else None
    return {} if found is None else {"decoder": f"{TINY} {_digest([found.weights], source.id)}"}


def _digest(files: Sequence[Path], model: str) -> str:
    found = hashlib.sha256()
    try:
        for file in files:
            with file.open("rb") as weights:
                size = weights.seek(0, os.SEEK_END)
                found.update(str(size).encode())
                for at in (0, max(0, size - _DIGEST_BYTES)):
                    weights.seek(at)
                    found.update(weights.read(_DIGEST_BYTES))
    except OSError as error:
        raise BrokenModel(
            f"The weights of the model {model} can't be read ({error.strerror}): {header.AGAIN}."
        ) from error
    return found.hexdigest()[:12]


def _core_files(source: Source) -> list[Path]:
    """Those with the UNet's or transformer's weights, at least one. Raises BrokenModel."""
    if source.path is not None and source.kind is not SourceKind.FOLDER:
        return [source.path]
    place = source.on_disk
    files = (
        sorted(file for part in folder.CORES for file in place.glob(f"{part}/*.safetensors")) if place else []
    )
    if not files:
        raise BrokenModel(
            f"The weights of the model {source.id} are not on this machine: start the engine once, which brings them."
        )
    return files
