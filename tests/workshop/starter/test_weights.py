"""The weights that ship with Easel obey prompts; random ones of the same architecture do not."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.checkpoints.source import STARTER_FOLDER
from engine.contract import STARTER, EngineSettings, GenerationRequest, Lora, ModelInfo
from engine.families.sd import SdFamily
from tests.kit.engines import Bench, described
from workshop.starter import checker
from workshop.starter.captions import plain
from workshop.starter.checker import Reading
from workshop.starter.evaluate import held_out_scenes, is_placed
from workshop.starter.export import QUICK
from workshop.starter.scenes import Scene

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("starter")]

SINGLES, PAIRS = held_out_scenes(16, pairs=False), held_out_scenes(8, pairs=True)
Quickly = Callable[..., list[Reading]]
BYTES_MAX, QUICK_BYTES_MAX = 18_000_000, 3_000_000


def draw(
    pipe: Any,
    model: ModelInfo,
    folder: Path,
    prompts: Sequence[str],
    *,
    own: Path | None = None,
    **options: Any,
) -> list[Image.Image]:
    """The pictures for these prompts, seeds 0, 1, 2, …, through the engine's own worker."""
    asked = (model.request(prompt=text, seed=number, **options) for number, text in enumerate(prompts))
    return drawn(pipe, model, folder, [*asked], own)


def drawn(
    pipe: Any,
    model: ModelInfo,
    folder: Path,
    requests: Sequence[GenerationRequest],
    own: Path | None = None,
) -> list[Image.Image]:
    bench = Bench(SdFamily(pipe, own=own), model, folder, slots=8, mode="fast", rows=8)
    for number, request in enumerate(requests):
        bench.submit(number, request)
    bench.finish(*range(len(requests)))
    pictures: list[Image.Image] = []
    for number in range(len(requests)):
        with Image.open(str(bench.finished(number).images[0].path)) as picture:
            pictures.append(picture.convert("RGB"))
    return pictures


def read(pictures: Sequence[Image.Image]) -> list[Reading]:
    return [checker.read(picture) for picture in pictures]


def right_colours(readings: Sequence[Reading], scenes: Sequence[Scene]) -> int:
    return sum(
        bool(reading.seen) and reading.seen[0].colour == scene.things[0].colour
        for reading, scene in zip(readings, scenes, strict=True)
    )


def right_things(readings: Sequence[Reading], scenes: Sequence[Scene]) -> int:
    return sum(reading.shows(scene) for reading, scene in zip(readings, scenes, strict=True))


def right_grounds(readings: Sequence[Reading], scenes: Sequence[Scene]) -> int:
    return sum(
        reading.background == scene.background for reading, scene in zip(readings, scenes, strict=True)
    )


@pytest.fixture(scope="module")
def guided_pairs(
    starter: Any, starter_model: ModelInfo, tmp_path_factory: pytest.TempPathFactory
) -> list[Reading]:
    folder = tmp_path_factory.mktemp("pairs")
    return read(draw(starter, starter_model, folder, [plain(scene) for scene in PAIRS]))


@pytest.fixture(scope="module")
def guided(starter: Any, starter_model: ModelInfo, tmp_path_factory: pytest.TempPathFactory) -> list[Reading]:
    folder = tmp_path_factory.mktemp("guided")
    return read(draw(starter, starter_model, folder, [plain(scene) for scene in SINGLES]))


def test_what_is_shipped() -> None:
    """At most 18 MB of fp16 safetensors, JSON and a card, 3 MB of them for few steps; nothing pickled."""
    files = [file for file in STARTER_FOLDER.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".json", ".safetensors", ".md"}
    assert sum(file.stat().st_size for file in files) <= BYTES_MAX
    assert (STARTER_FOLDER / "loras" / f"{QUICK['lora']}.safetensors").stat().st_size <= QUICK_BYTES_MAX
    for file in files:
        if file.suffix == ".safetensors":
            data = file.read_bytes()
            header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
            kinds = {value["dtype"] for name, value in header.items() if name != "__metadata__"}
            assert kinds <= {"F16", "I64"}


def test_held_out_prompts_are_obeyed(guided: list[Reading]) -> None:
    """Of 16 combinations never trained on, nearly all have the right ground, colour and thing."""
    assert right_grounds(guided, SINGLES) >= 15
    assert right_colours(guided, SINGLES) >= 15
    assert right_things(guided, SINGLES) >= 14


def test_relations_are_obeyed(guided_pairs: list[Reading]) -> None:
    """Of eight pairs most have both colours on the right sides, and are both things."""
    placed = [is_placed(scene, reading) for scene, reading in zip(PAIRS, guided_pairs, strict=True)]
    assert sum(placed) >= 7
    assert right_things(guided_pairs, PAIRS) >= 6


def test_guidance_makes_it_stricter(
    starter: Any, starter_model: ModelInfo, guided: list[Reading], tmp_path: Path
) -> None:
    """Without guidance fewer of the sixteen things are recognised than with it."""
    prompts = [plain(scene) for scene in SINGLES]
    free = read(draw(starter, starter_model, tmp_path, prompts, guidance_scale=1.0))
    assert right_things(free, SINGLES) + 2 <= right_things(guided, SINGLES)  # eleven and fourteen


@pytest.fixture(scope="module")
def quickly(load_pipe: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Quickly:
    """Draws prompts without guidance, as the LoRA is for that ships; with it or without."""
    model = described(EngineSettings(model=STARTER, spool="/nowhere"))
    pipe = load_pipe(STARTER_FOLDER)  # a LoRA changes layers that other tests share
    how = {key: QUICK[key] for key in ("guidance_scale", "sampler")}

    def drawn_so(prompts: Sequence[str], *, steps: int, lora: bool = True) -> list[Reading]:
        loras = (Lora(name=QUICK["lora"]),) if lora else ()
        folder = tmp_path_factory.mktemp("quick")
        return read(draw(pipe, model, folder, prompts, own=STARTER_FOLDER, steps=steps, loras=loras, **how))

    return drawn_so


def test_four_steps_obey_as_twenty_do(
    quickly: Quickly, guided: list[Reading], guided_pairs: list[Reading]
) -> None:
    """With its LoRA and without guidance, nearly as many held-out prompts are obeyed."""
    readings = quickly([plain(scene) for scene in (*SINGLES, *PAIRS)], steps=QUICK["steps"])
    alone, pairs = readings[: len(SINGLES)], readings[len(SINGLES) :]
    assert right_grounds(alone, SINGLES) >= 15
    assert right_colours(alone, SINGLES) >= 15
    assert right_things(alone, SINGLES) >= right_things(guided, SINGLES) - 1
    assert right_things(pairs, PAIRS) >= right_things(guided_pairs, PAIRS) - 1


def test_the_lora_chooses_where_a_prompt_leaves_it_open(quickly: Quickly) -> None:
    """In a single step the bare model paints the mean of all colours, a gray or a brown. The LoRA was taught to choose one."""
    prompts = ["a circle on a white background", "a square on a black background"] * 4

    def colours(*, lora: bool) -> set[str]:
        return {seen.colour for reading in quickly(prompts, steps=1, lora=lora) for seen in reading.seen[:1]}

    mixed = {"gray", "brown"}
    assert colours(lora=False) <= mixed
    assert len(colours(lora=True) - mixed) >= 2


def test_a_negative_prompt_keeps_a_colour_away(
    starter: Any, starter_model: ModelInfo, tmp_path: Path
) -> None:
    """Pictures whose colour was left open rarely have the same one again once it is named as unwanted."""
    prompts = ["a circle on a white background", "a square on a black background"] * 4
    first = read(draw(starter, starter_model, tmp_path, prompts))
    coloured = {number: reading for number, reading in enumerate(first) if reading.seen}
    assert len(coloured) >= 6  # a colour left open may be the ground's
    unwanted = [
        starter_model.request(prompt=prompts[number], seed=number, negative_prompt=reading.seen[0].colour)
        for number, reading in coloured.items()
    ]
    second = read(drawn(starter, starter_model, tmp_path, unwanted))
    kept = sum(
        bool(again.seen) and again.seen[0].colour == reading.seen[0].colour
        for reading, again in zip(coloured.values(), second, strict=True)
    )
    assert kept <= len(coloured) // 2


@pytest.mark.parametrize("size", [(128, 192), (192, 192)])
def test_other_sizes_are_pictures(
    starter: Any, starter_model: ModelInfo, tmp_path: Path, size: tuple[int, int]
) -> None:
    """At other sizes the ground is as plain and the colours are as told."""
    scenes = SINGLES[:4]
    readings = read(draw(starter, starter_model, tmp_path, [plain(scene) for scene in scenes], size=size))
    assert right_grounds(readings, scenes) >= 3
    assert right_colours(readings, scenes) >= 3


def test_words_it_does_not_know(starter: Any, starter_model: ModelInfo, tmp_path: Path) -> None:
    """An astronaut is not in its vocabulary; there is a picture all the same."""
    (picture,) = draw(
        starter, starter_model, tmp_path, ["an astronaut riding a horse, 4k, масляная живопись 🎨"]
    )
    assert picture.size == (128, 128)
    assert len(picture.getcolors(128 * 128) or ()) > 1


def test_the_same_seed_gives_the_same_picture(starter: Any, starter_model: ModelInfo, tmp_path: Path) -> None:
    """Twice the same is the same to the bit, another seed is another picture."""
    prompt = "a red heart"
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    first, again = (draw(starter, starter_model, folder, [prompt, prompt], steps=8) for folder in folders)
    assert [picture.tobytes() for picture in first] == [picture.tobytes() for picture in again]
    assert first[0].tobytes() != first[1].tobytes()


def test_random_weights_fail_the_same_examination(
    starter: Any, starter_model: ModelInfo, tmp_path: Path
) -> None:
    """The same architecture with random weights obeys nothing: these tests would notice."""
    untrained = copy.copy(starter)
    torch.manual_seed(0)
    untrained.unet = type(starter.unet).from_config(starter.unet.config).eval()
    scenes = SINGLES[:6]
    readings = read(draw(untrained, starter_model, tmp_path, [plain(scene) for scene in scenes], steps=6))
    assert right_things(readings, scenes) == 0
    assert right_colours(readings, scenes) <= 2
