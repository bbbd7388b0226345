"""What engines are told at their start, how many there are, and what is said where the model is the starter. Never imports torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.config import Settings
from bot.redaction import environment
from engine.contract import STARTER, ClusterSettings, EngineSettings

MACHINE = Path("/etc/machine-id")
ENGINES_MAX = 16
SURVEYED_WITHIN_S = 120.0
LISTED_WITHIN_S = 20.0
"""A driver that wakes its cards may take seconds."""
STARTER_NOTE = "The starter model draws plain coloured shapes only: name a real one, --model."


def engine_settings(settings: Settings, *, spool: Path | None = None) -> EngineSettings:
    """What an engine is told at its start."""
    folder = settings.preview.model
    models = settings.models_dir if settings.models.dir or settings.has_data_dir else None
    return EngineSettings(
        model=settings.engine.model,
        spool=str((spool or settings.spool).absolute()),
        device=settings.engine.device,
        slots=settings.engine.slots,
        hub_offline=settings.engine.offline,
        mode=settings.engine.mode,
        rows=settings.engine.rows,
        runtime=settings.engine.runtime,
        data=str(settings.data_dir.absolute()) if settings.has_data_dir else None,
        models=None if models is None else str(models.absolute()),
        models_bytes=settings.models.bytes_max,
        preview_every=settings.preview.every,
        preview_model=None if folder is None else str(folder.absolute()),
        channels_last=settings.engine.channels_last,
        fused_qkv=settings.engine.fused_qkv,
        dtype=settings.engine.dtype,
        profile=settings.engine.profile,
        unload_after_s=settings.engine.unload_after_s,
        checker=settings.engine.checker,
        flagged_from=settings.engine.flagged_from,
        metadata=settings.posting.metadata,
        cluster=cluster_of(settings),
    )


def cluster_of(settings: Settings) -> ClusterSettings | None:
    """Where engines run that are not all on this machine's own. Its name tells this bot's engines from all others'."""
    if settings.engine.fleet != "ray":
        return None
    machine = MACHINE.read_text() if MACHINE.exists() else ""
    told = f"{machine}\0{socket.gethostname()}\0{settings.data_dir.absolute()}"
    name = hashlib.sha256(told.encode()).hexdigest()[:12]
    return ClusterSettings(address=settings.engine.address or "", namespace=f"easel-{name}")


def engines_of(settings: Settings) -> int:
    """How many there are to be: as configured, else one for each graphics card where cards may be used."""
    told = settings.engine.engines
    if told != "auto":
        return told
    if settings.engine.fleet == "ray" and settings.engine.address is not None:
        return count_places(settings)
    return max(1, count_cards()) if settings.engine.device in ("auto", "cuda") else 1


def count_places(settings: Settings) -> int:
    """The GPUs of the cluster, 1 to ENGINES_MAX; 1 where there are none, and where it can't be asked."""
    facts = survey(settings, settings.engine.address or "")
    if facts["problem"] or settings.engine.device == "cpu":
        return 1
    return min(max(1, facts["gpus"]), ENGINES_MAX)


def survey(settings: Settings, address: str) -> dict[str, Any]:
    """What `engine.cluster.survey` finds out about the cluster there, in a process of its own."""
    own = cluster_of(settings)
    assert own is not None
    asked = json.dumps({"address": address, "model": settings.engine.model, "namespace": own.namespace})
    try:
        done = subprocess.run(
            (sys.executable, "-m", "engine.cluster.survey", asked),
            capture_output=True,
            text=True,
            check=True,
            timeout=SURVEYED_WITHIN_S,
            env=environment(),
        )
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {"problem": f"The cluster at {address} gave no answer."}


def count_cards(environ: Mapping[str, str] = os.environ) -> int:
    """NVIDIA's that an engine would see, 0 where there is no driver that tells: those of other makers are not counted.

    Only an engine may load torch, so its driver's program is asked, and CUDA_VISIBLE_DEVICES, by which torch goes.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listed = subprocess.run(
            (program, "-L"), capture_output=True, text=True, check=True, timeout=LISTED_WITHIN_S
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return 0
    there = sum(line.startswith("GPU ") for line in listed)  # the parts that a card is cut into are indented
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return there
    named = [name.strip() for name in visible.split(",")]
    ends = next((number for number, name in enumerate(named) if name in ("", "-1")), len(named))
    return min(there, ends)


def each_placed(engine: EngineSettings, engines: int) -> tuple[EngineSettings, ...]:
    """The settings of each of so many engines: a graphics card of its own, or, where none is used, a seat on the same device."""
    if (cluster := engine.cluster) is not None:  # Ray gives each its place
        return tuple(
            replace(engine, seat=number, cluster=replace(cluster, number=number + 1))
            for number in range(engines)
        )
    if engines == 1:
        return (engine,)
    if engine.device == "cuda" or (engine.device == "auto" and count_cards()):
        return tuple(replace(engine, device=f"cuda:{number}") for number in range(engines))
    return tuple(replace(engine, seat=number) for number in range(engines))


def engines_here(settings: Settings) -> tuple[EngineSettings, ...]:
    """What each engine of a bot with these settings is told."""
    return each_placed(engine_settings(settings), engines_of(settings))


def devices_here(settings: Settings) -> tuple[str, ...]:
    """The devices of those engines on this machine, each once."""
    if settings.engine.fleet == "ray":  # which of them are on this machine is Ray's to know
        return (settings.engine.device,)
    return tuple(dict.fromkeys(each.device for each in engines_here(settings)))


def is_starter(settings: Settings) -> bool:
    return settings.engine.model == STARTER
