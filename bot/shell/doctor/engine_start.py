"""Would an engine start with these settings? Asks a child process that knows torch and models."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bot.config import Settings
from bot.config.engine import STARTER_NOTE, engines_here
from bot.shell.child import ask_engine
from bot.shell.doctor.data import own_fix
from bot.shell.doctor.finding import Finding, bad, ok, warn
from bot.shell.doctor.packages import INSTALL, PIP
from engine.contract import STARTER


def check_device(settings: Settings) -> Iterator[Finding]:
    facts, complaint = ask_engine("torch")
    if facts is None:
        yield bad("Device", f"torch can't be loaded: {complaint}", INSTALL)
    else:
        yield judge_device(settings.engine.device, facts, has_driver=shutil.which("nvidia-smi") is not None)
        if settings.engine.fleet == "local":
            yield from judge_engines([each.device for each in engines_here(settings)], facts)


def judge_device(wanted: str, facts: dict[str, Any], *, has_driver: bool) -> Finding:
    """What the configured device means on a machine with these facts."""
    cards: list[str] = facts["cuda"]
    if wanted.startswith("cuda"):
        number = _number_of(wanted)
        if number >= len(cards):
            text = f"{wanted} is configured, but torch {facts['torch']} sees {len(cards)} CUDA devices."
            return bad("Device", f"{text}{_driver(facts)}", _cuda_fix(facts, has_driver=has_driver))
        return _judge_card(facts, number)
    if wanted == "mps" and not facts["mps"]:
        return bad(
            "Device", "mps is configured, but torch sees no Apple GPU.", 'set device = "auto" under [engine]'
        )
    if wanted == "auto" and cards:
        return _judge_card(facts, 0)
    if wanted == "mps" or (wanted == "auto" and facts["mps"]):
        return ok("Device", f"Apple GPU (mps), torch {facts['torch']}")
    text = f"CPU with {facts['threads']} threads, torch {facts['torch']}: an image takes minutes with a real model."
    is_missed = wanted == "auto" and has_driver
    missed = _driver(facts) if is_missed else ""
    return warn("Device", f"{text}{missed}", _cuda_fix(facts, has_driver=True) if is_missed else "")


def judge_engines(devices: Sequence[str], facts: dict[str, Any]) -> Iterator[Finding]:
    """Whether several engines find their devices on a machine with these facts, and which of them draw the same pixels."""
    cards: list[str] = facts["cuda"]
    if len(devices) < 2:
        return
    if not devices[0].startswith("cuda"):
        text = (
            f"{len(devices)} engines share one {'Apple GPU' if facts['mps'] and devices[0] != 'cpu' else 'processor'}: each "
            "holds its models in memory of its own, and together they draw about as fast as one. They draw the same pixels."
        )
        yield warn("Engines", text, "engines = 1 under [engine]")
        return
    missing = [device for device in devices if _number_of(device) >= len(cards)]
    if missing:
        text = f"engines = {len(devices)}, but torch sees {len(cards)} CUDA devices: there is no {', '.join(missing)}."
        yield bad("Engines", text, f"engines = {max(1, len(cards))} under [engine]")
    alike: dict[str, list[str]] = {}
    for number, device in enumerate(devices, 1):
        if device not in missing:
            alike.setdefault(cards[_number_of(device)], []).append(f"{number} ({device})")
    told = "; ".join(f"{', '.join(engines)}: {card}" for card, engines in alike.items())
    if len(alike) > 1:
        text = (
            f"{told}. Engines on one kind of card draw the same pixels, on different kinds other last bits."
        )
        yield warn("Engines", f"{text} What repeats a seed goes to its own kind while one is up.")
    elif alike:
        yield ok("Engines", f"{told}. They draw the same pixels.")


def _number_of(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _judge_card(facts: dict[str, Any], number: int) -> Finding:
    """Whether torch was built for the card's generation: else the first kernel fails, long after the start."""
    generations, built_for = facts.get("generations", []), facts.get("built_for", [])
    if number < len(generations) and built_for and not facts.get("hip"):
        major, minor = generations[number]
        if not runs_on(major, minor, built_for):
            text = f"{_card(facts, number)} was built for {', '.join(built_for)}, not for this card's sm_{major}{minor}."
            fix = "a build of torch for this card: https://pytorch.org/get-started/previous-versions"
            return bad("Device", text, f'{fix}; until then device = "cpu" under [engine]')
    return ok("Device", _card(facts, number))


def runs_on(major: int, minor: int, built_for: Sequence[str]) -> bool:
    """By NVIDIA's rules: kernels run on their own generation from their minor number on, PTX on all later ones.

    https://docs.nvidia.com/cuda/cuda-c-programming-guide/#binary-compatibility; letters after a number (sm_90a) tie a
    kernel to exactly that one.
    """
    for name in built_for:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", name)
        if match is None:
            continue
        built, is_exact = (int(match[2]), int(match[3])), bool(match[4])
        if is_exact or match[1] == "sm":
            if built == (major, minor) or (not is_exact and built[0] == major and built[1] <= minor):
                return True
        elif built <= (major, minor):
            return True
    return False


def _driver(facts: dict[str, Any]) -> str:
    """What torch says of the driver, which it compares with its own list."""
    return f" It says: {facts['complaint'].rstrip('.')}." if facts.get("complaint") else ""


def _card(facts: dict[str, Any], number: int) -> str:
    return f"{facts['cuda'][number]} ({facts['bytes'][number] / 2**30:.0f} GB), torch {facts['torch']}"


def _cuda_fix(facts: dict[str, Any], *, has_driver: bool) -> str:
    if not facts["built_for_cuda"]:
        return f"{PIP} --force-reinstall torch==2.13.0 (the build with CUDA)"
    if "driver" in facts.get("complaint", "") and "too old" in facts["complaint"]:
        return f"a newer NVIDIA driver (this torch takes CUDA {facts['built_for_cuda']}): https://www.nvidia.com/drivers"
    return "nvidia-smi (does it list the card?)" if has_driver else 'set device = "auto" under [engine]'


def check_model(settings: Settings) -> Iterator[Finding]:
    model = settings.engine.model
    if model == STARTER:
        yield warn("Model", STARTER_NOTE)
    yield judge_model(model, offline=settings.engine.offline, folder=settings.models_dir)


def judge_model(model: str, *, offline: bool, folder: Path | None = None) -> Finding:
    """Whether a model in `folder`, elsewhere, or in the hub's cache is complete. The engine's own check decides."""
    name, _, revision = model.partition("@")
    fetch = shlex.join(["hf", "download", name, *(["--revision", revision] if revision else [])])
    facts, complaint = ask_engine(
        "model", model=model, models=None if folder is None else str(folder), offline=offline
    )
    if facts is None:
        return bad("Model", f"the model can't be checked: {complaint}", INSTALL)
    if facts["folder"] is None:
        if offline:
            return bad("Model", f"{model} is not on this disk, and offline = true.", fetch)
        return warn("Model", f"{model} is not on this disk yet: the first start downloads it.", fetch)
    if not facts["problem"]:
        return ok("Model", model if facts["folder"] == model else f"{model}, in {facts['folder']}")
    if facts["is_id"] and not offline:
        return warn("Model", f"{facts['problem']} The next start tries that.", fetch)
    return bad("Model", facts["problem"], fetch if facts["is_id"] else "set another model under [engine]")


def check_models(settings: Settings) -> Iterator[Finding]:
    """What lies in the folder of models, as the engine sees it at its start."""
    folder = settings.models_dir
    if not os.path.lexists(folder):
        if settings.models.dir is not None:
            yield bad("Models", f"{folder} is not there.", f"mkdir -p {shlex.quote(str(folder))}")
        return
    if not folder.is_dir():
        yield bad("Models", f"{folder} is not a folder.", "set another dir under [models]")
        return
    if not os.access(folder, os.R_OK | os.X_OK):
        yield bad("Models", f"{folder} can't be read.", own_fix(folder))
        return
    facts, complaint = ask_engine("models", model=settings.engine.model, models=str(folder))
    if facts is None:
        yield warn("Models", f"What lies in {folder} is not known: {complaint}")
        return
    for name, problem in facts["problems"]:
        yield warn("Models", f"{name} is left out: {problem}", f"take it out of {folder}, or mend it")
    if facts["sound"] or not facts["problems"]:
        yield ok("Models", f"{facts['sound']} further files and folders to draw with in {folder}")


def check_preview(settings: Settings) -> Iterator[Finding]:
    """The decoder of previews, where one is configured: without it the engine does not start."""
    folder = settings.preview.model
    if folder is None or not settings.preview.every:
        return
    facts, complaint = ask_engine("preview", place=str(folder))
    if facts is None:
        yield bad("Preview", f"{folder} can't be checked: {complaint}", INSTALL)
    elif facts["problem"]:
        yield bad("Preview", f"{folder}: {facts['problem']}", "set another model under [preview], or none")
    else:
        yield ok("Preview", f"{folder}")


def check_profile(settings: Settings) -> Iterator[Finding]:
    """How much of the model would lie on the device, if the engine were started now."""
    engine = settings.engine
    facts, complaint = ask_engine(
        "profile",
        model=engine.model,
        models=str(settings.models_dir.absolute()),
        device=engine.device,
        dtype=engine.dtype,
        profile=engine.profile,
        mode=engine.mode,
    )
    if facts is None:
        yield warn("Profile", f"Which profile holds is not known: {complaint}")
    elif facts["problem"]:
        yield bad("Profile", facts["problem"], "change that under [engine]: the engine can't start with it")
    else:
        yield ok("Profile", facts["why"])


def check_modes(settings: Settings) -> Iterator[Finding]:
    """What each mode costs and brings here, as the engine measured it at its first start."""
    own = settings.engine
    facts, complaint = ask_engine(
        "modes",
        model=own.model,
        mode=own.mode,
        rows=own.rows,
        slots=own.slots,
        runtime=own.runtime,
        data=str(settings.data_dir),
    )
    if facts is None:
        yield warn("Modes", f"What the modes bring is not known: {complaint}")
    elif not facts["sentences"]:
        yield ok("Modes", f"{own.mode}; the bot's first start measures what the others would bring")
    else:
        for sentence in facts["sentences"]:
            yield ok("Modes", sentence)
