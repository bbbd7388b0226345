"""`python -m engine.report QUESTION [JSON]`: what `easel doctor` and `easel info` ask of the engine, answered as JSON.

The questions are the functions in QUESTIONS, and JSON holds their keyword arguments. No model's weights are loaded and
nothing is started. A process of its own answers, since nobody else may load torch.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.checkpoints import adapters, describe, folder, header, known_models
from engine.checkpoints.folder import Checkpoint
from engine.checkpoints.source import Source, SourceKind, sources
from engine.contract import ROWS, STARTER, EngineSettings, ModeOrAuto, Runtime
from engine.device import choice, fingerprint, fitting, memory, profiles
from engine.device.memory import Needs
from engine.device.profiles import Weights
from engine.errors import BrokenModel
from engine.openvino import files, networks
from engine.openvino.files import Findings

if TYPE_CHECKING:
    from engine.device.choice import Place
Answer = dict[str, Any]
ADAPTERS = ("lora ", "embedding ")
"""What begins the keys that tell digests of files."""


def torch() -> Answer:
    """Which torch this is, and the cards that it sees."""
    torch: Any = import_module("torch")
    warnings.simplefilter("ignore")
    complaint = ""
    if torch.version.cuda or torch.version.hip:
        try:
            torch.cuda.init()
        except Exception as error:  # noqa: BLE001 - whatever it says is told
            complaint = str(error).splitlines()[0]
    cuda = torch.cuda.is_available()
    cards: list[Any] = (
        [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if cuda else []
    )
    return {
        "torch": torch.__version__,
        "built_for_cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "cuda": [card.name for card in cards],
        "bytes": [card.total_memory for card in cards],
        "generations": [[card.major, card.minor] for card in cards],
        "built_for": torch.cuda.get_arch_list(),
        "complaint": complaint,
        "mps": torch.backends.mps.is_available(),
        "threads": torch.get_num_threads(),
    }


def model(*, model: str, models: str | None, offline: bool) -> Answer:
    """Where the model is that an engine would load, None where it has to be fetched, and what is wrong with it."""
    from engine.loading import load

    chosen = sources(EngineSettings(model=model, spool="", models=models))[0]
    place, problem = chosen.on_disk, ""
    try:
        load.check(chosen, offline=offline)
    except BrokenModel as error:
        problem = str(error)
    folder = None if place is None else str(place)
    return {"is_id": chosen.kind is SourceKind.HUB, "folder": folder, "problem": problem}


def models(*, model: str, models: str) -> Answer:
    """How many further models in that folder are sound, and what is wrong with the others."""
    from engine.collection import listing

    settings = EngineSettings(model=model, spool="", models=models, hub_offline=True)
    found = [*listing.entries(settings)][1:]
    problems = [(entry.name, entry.problem) for entry in found if entry.problem]
    return {"problems": problems, "sound": len(found) - len(problems)}


def suitable(*, models: str | None) -> Answer:
    """Where an engine would compute, and what it could draw with: in that folder, and of the hub what is well known."""
    from engine.collection import listing

    settings = EngineSettings(model=STARTER, spool="", models=models, hub_offline=True)
    place = choice.choose_place(settings)
    free = memory.reclaim(place.device)
    own = [entry for entry in listing.entries(settings) if entry.kind == "checkpoint" and not entry.problem]
    known = [(name, fitting.plan(name, place, free)) for name in known_models.NUMBERS]
    return {
        "device": place.device.type,
        "own": [(str(entry.path), entry.name, f"{entry.family}, {entry.size}") for entry in own],
        "known": [
            (name, known_models.KNOWN[name]["title"], plan.why) for name, plan in known if not plan.leaves
        ],
    }


def preview(*, place: str) -> Answer:
    """What is wrong with a decoder for previews."""
    from engine.families.preview import TinySketcher

    try:
        TinySketcher.of(place, 4)
    except BrokenModel as error:
        return {"problem": str(error)}
    return {"problem": ""}


def profile(**settings: Any) -> Answer:
    """Which profile an engine with these settings would choose, as a sentence, or why it could not start."""
    try:
        return {"why": foreseen(EngineSettings(spool="", hub_offline=True, **settings)), "problem": ""}
    except BrokenModel as error:
        return {"why": "", "problem": str(error)}


def modes(*, model: str, mode: ModeOrAuto, rows: Any, slots: int, runtime: Runtime, data: str) -> Answer:
    """Sentences on what each mode costs and brings, as an engine measured it at its first start."""
    from engine.unet import costs

    try:
        name = describe.describe(Source.of(model), EngineSettings(model=model, spool="", hub_offline=True)).id
    except Exception:  # noqa: BLE001 - another question says what is wrong with the model
        name = model
    known, found = costs.newest(Path(data), name), files.newest(Path(data), name)
    told = (
        costs.sentences(known, "exact" if mode == "auto" else mode, ROWS if rows == "auto" else rows, slots)
        if known
        else ()
    )
    hastened = found is not None and found.share <= 1 and mode != "exact" and runtime != "torch"
    return {"sentences": [*told, *([found.sentence] if found and hastened else [])]}


def here(*, settings: Mapping[str, Any], wanted: str, made: Mapping[str, str]) -> Answer:
    """The fingerprint of this machine with the model `wanted`, where that is here, else with the configured one.

    `made` is a picture's: of adapters and the runtime only those that it tells of are looked at. With how many threads
    OpenVINO would draw it here is known once that was measured. "auto" is the mode that would be chosen.
    """
    told = EngineSettings(spool="", hub_offline=True, **settings)
    found = sources(told)
    chosen = next((source for source in found if source.id == wanted), found[0])
    usual = choice.choose(replace(told, mode="auto")).mode
    mode: Any = made.get("mode", "exact")
    told = replace(told, mode="auto" if told.mode == "auto" and mode == usual else mode)
    fingerprint.prepare_environment(told)
    info = describe.describe(chosen, told)
    fingerprint.pin(info)
    facts: Answer = fingerprint.fingerprint(choice.choose_place(told, info.family))
    try:
        weights = fingerprint.digest(chosen)
    except BrokenModel as error:
        sys.exit(str(error))
    quick = None if info.quick is None else info.quick.lora
    if "runtime" in made and not networks.problem():
        assert told.data is not None
        name, digest = info.id, weights
        loras = {key: made[key] for key in made if key.startswith("lora ")}
        if loras and quick is not None:  # no other is OpenVINO's
            name, digest = files.taught(name, digest, quick, loras)
        known = files.find(files.folder_of(Path(told.data), name, facts, weights=digest))
        facts["runtime"] = _runtime(known, told) if known else _of_this_version(made["runtime"])
    facts.update(fingerprint.decoder(chosen, info, told.models))
    facts.update(
        quick=str(quick or ""), weights=weights, auto=usual, model=info.id, size=f"{info.width}x{info.height}"
    )
    keys = [key for key in made if key.startswith(ADAPTERS)]
    facts.update(adapters.digests(told.models, keys, chosen.folder))
    return facts


def _of_this_version(said: str) -> str:
    """What a picture says of OpenVINO, where nothing was measured here yet that could differ but the version."""
    here = f"OpenVINO {networks.version()}"
    return said if said.startswith(f"{here},") else here


def _runtime(known: Findings, told: EngineSettings) -> str:
    """What would be said of a picture that OpenVINO draws here."""
    rows = known.rows if told.rows == "auto" else min(known.rows, told.rows)
    return networks.words(known.threads, min(rows, 2 * told.slots))


QUESTIONS: Mapping[str, Callable[..., Answer]] = {
    question.__name__: question
    for question in (torch, model, models, suitable, preview, profile, modes, here)
}


def main() -> None:
    question, *told = sys.argv[1:]
    print(json.dumps(QUESTIONS[question](**(json.loads(told[0]) if told else {}))))  # noqa: T201


# ------------------------------------------------------------------ which profile an engine would choose


def foreseen(settings: EngineSettings) -> str:
    """A sentence: the profile, and why. Raises BrokenModel where model or device can't be used."""
    source = sources(settings)[0]
    place_on_disk = source.on_disk
    if place_on_disk is None or not (place_on_disk / "model_index.json").is_file():
        return "Chosen at the start, when the model's weights are known."
    place = choice.choose_place(settings, describe.describe(source, settings).family)
    found = folder.check(place_on_disk, prefer_fp16=str(place.dtype) == "torch.float16")
    weights, needs = _of(found, place)
    free = memory.reclaim(place.device) if place.device.type == "cuda" else None
    return profiles.plan(place.profile, weights, needs, size=_size(found), free_bytes=free).why


def _of(found: Checkpoint, place: Place) -> tuple[Weights, Needs]:
    """What the model's files say about its weights, and its configs about activations."""
    kind, itemsize = folder.architecture(found.index), place.dtype.itemsize
    vae = folder.read_json(found.folder, "vae/config.json")
    upcast = kind.upcasts(str(place.dtype).removeprefix("torch."), vae)
    counts = Counter[str]()
    for file in folder.weight_files(found):
        counts[file.parent.name] += header.count_numbers(file)
    core = sum(count for name, count in counts.items() if name in folder.CORES)
    weights = Weights(
        core=core * itemsize,
        vae=counts["vae"] * (4 if upcast else itemsize),
        aside=(sum(counts.values()) - core - counts["vae"]) * itemsize,
        called=kind.is_called,
    )
    if weights.called:
        return weights, profiles.called_needs(prod(_size(found)))
    unet = folder.read_json(found.folder, "unet/config.json")
    return weights, Needs.of(
        unet, vae, itemsize=itemsize, vae_itemsize=4 if upcast else itemsize, tiles=False
    )


def _size(found: Checkpoint) -> tuple[int, int]:
    """(width, height) of the pictures that the model was trained on."""
    if folder.architecture(found.index).is_called:
        return profiles.trained_on(None, None)
    unet, vae = (folder.read_json(found.folder, f"{part}/config.json") for part in ("unet", "vae"))
    return profiles.trained_on(unet.get("sample_size"), 2 ** (len(vae["block_out_channels"]) - 1))


if __name__ == "__main__":
    main()
