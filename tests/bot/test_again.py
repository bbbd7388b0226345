"""What is to be copied draws the same picture again: the command of `easel info` and the one of ℹ️ Info, or they say no."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from bot.chat.look import safe
from bot.chat.look.picture_info import describe
from bot.config import Settings
from bot.core.asking import wildcards
from bot.core.asking.asked import parse
from bot.core.asking.wish import Picture, Wish, resolve
from bot.shell import carried_settings, one_picture
from bot.shell.cli import app
from bot.shell.one_picture import CommandLine, request_of
from bot.texts.language import ENGLISH
from engine.contract import (
    SAMPLERS,
    SEEDS,
    AdapterInfo,
    GenerationRequest,
    Lora,
    ModelInfo,
)
from engine.pictures.inputs import FOLDER
from engine.pictures.metadata import encode_png
from tests.bot.chat.look.test_job_view import job

REFUSED = "can't be copied exactly"
FAMILY = "👩\u200d👩\u200d👧"
SURVIVORS = [
    f"a green circle {FAMILY}",
    "می\u200cخواهم",
    "left \u200e right \u200f \u202e turned \u2066 set apart \u2069",
    "heart ❤\ufe0f and ❤\ufe0e",
    "flag 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "no\u00a0break \u202f \u3000 wide",
    "soft\u00adhyphen \u2060 joined \ufeff",
    "two  spaces   three",
    "quotes ' \" ` $HOME $(id) \\ !! *md* _it_ ~~no~~ ||hid|| # > - <@1> @everyone",
    "--seed=1 -x",
    "private \ue000 unassigned \U0001fbff",
    "a --ar 3:2 —no x {a, b|c} {d} \\{e, f} __g__ \\__h__ \\--i, \\\\{j",
    '{"a": "b", "c": {d, e}} -- no k',
    "x" * 3900,
]
"""What both commands take as it is."""
ODD = "\u200d\u200c\ufe0f\u202e\u2066\u200e\u00a0\u2028\u2029\u0085\u3000\ufeff\U000e0067\x00\x07\x1b\x9b\r\n\t '\"`$\\!-*_~|<>#&;(){}[]:,=é漢👩a7"
TEXTS = (
    st.text(st.sampled_from(ODD), max_size=30)
    | st.sampled_from([*SURVIVORS, "seed:5 a cat size:64x64", "a <lo<lora:b:1>ra:a:1>", ""])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
)
LORAS = [AdapterInfo(name=name) for name in ("detail", "my LoRA", "-dash", "it's", "a&b")]
MODELS = ["fake", "org/name", "starter", "my model", "it's a $model", "org/name-v1.5@main"]


def a_request(**changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {
        "prompt": "a red fox",
        "width": 512,
        "height": 768,
        "steps": 20,
        "guidance_scale": 7.0,
        "sampler": "Euler a",
        "seed": 42,
        "model": "org/name",
    }
    return GenerationRequest(**{**values, **changes})


IMAGE_SIZE = (128, 96)


def _png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", IMAGE_SIZE, colour).save(buffer, "PNG")
    return buffer.getvalue()


IMAGE, MASK = _png("red"), _png("white")
DIGEST, MASK_DIGEST = hashlib.sha256(IMAGE).hexdigest(), hashlib.sha256(MASK).hexdigest()
KINDS: list[dict[str, Any]] = [
    {},
    {"image": DIGEST, "strength": 0.1 + 0.2 + 0.3},
    {"image": DIGEST, "mask": MASK_DIGEST, "strength": 1.0},
    {"image": DIGEST, "strength": 0.2, "upscale": 2, "width": 256, "height": 192},
    {"tile": True},
    {"references": (DIGEST, MASK_DIGEST)},
    {"image": DIGEST, "strength": 1.0, "upscale": 2, "width": 256, "height": 192, "sampler": "Model's own"},
]


@st.composite
def requests(draw: st.DrawFn) -> GenerationRequest:
    kind = draw(st.sampled_from(KINDS))
    is_seedless = kind.get("sampler") is not None
    prompt = draw(TEXTS)
    if not any(char.isalnum() for char in prompt):
        prompt += "x"
    drawn: dict[str, Any] = {
        "steps": draw(st.integers(20, 50)),
        "seed": draw(st.integers(0, SEEDS - 1)),
        "sampler": draw(st.sampled_from(list(SAMPLERS))),
        "guidance_scale": draw(st.floats(1, 30)),
        "negative_prompt": draw(TEXTS),
        "images": draw(st.integers(1, 3)),
        "loras": tuple(
            Lora(name=one.name, weight=draw(st.sampled_from([1.0, 0.8, -0.125, 0.123, 0.12345678])))
            for one in draw(st.lists(st.sampled_from(LORAS), max_size=2, unique=True))
        ),
    }
    if is_seedless:
        drawn = {"steps": 1, "guidance_scale": ModelInfo(id="x", title="X").guidance_scale}
    return a_request(**{**drawn, "prompt": prompt, "model": draw(st.sampled_from(MODELS)), **kind})


def offered(request: GenerationRequest) -> ModelInfo:
    """The model of a request, as the engine would offer it."""
    is_upscaler = request.is_seedless
    return ModelInfo(
        id=request.model,
        title="Model",
        takes_images=True,
        takes_tiling=True,
        references_max=2,
        loras=tuple(LORAS),
        scale=4 if is_upscaler else 1,
        samplers=(request.sampler,),
        sampler=request.sampler if is_upscaler else "Euler",
        steps=1 if is_upscaler else 30,
    )


# ------------------------------------------------------------------ easel info


def told(request: GenerationRequest, tmp_path: Path) -> str:
    """What `easel info` prints of a picture that this request drew."""
    file = tmp_path / "made.png"
    file.write_bytes(encode_png(Image.new("RGB", (8, 8)), request=request))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert carried_settings.show_info(file, Settings()) == 0
    return out.getvalue()


def typed(
    command: str, request: GenerationRequest, tmp_path: Path, patch: pytest.MonkeyPatch
) -> GenerationRequest:
    """What our own command line makes of the words that a shell makes of a command."""
    words = shlex.split(command)
    assert words[:2] == ["easel", "imagine"]
    for name, data in (("IMAGE", IMAGE), ("MASK", MASK), ("REFERENCE1", IMAGE), ("REFERENCE2", MASK)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "MODEL").mkdir(exist_ok=True)
    seen: list[tuple[Settings, CommandLine]] = []
    with patch.context() as patched:
        patched.chdir(tmp_path)
        patched.setattr(one_picture, "imagine", lambda found, line: seen.append((found, line)) or 0)
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, done.output
        wished, line = seen[0]
        model = offered(request)
        if "/" in request.model and not request.is_seedless:
            assert wished.engine.model == request.model
        seed = request.seed if request.is_seedless else SEEDS  # which is none: the wish has its own
        found = request_of(line.keep(tmp_path / FOLDER), line.model_among([model]), seed)
        return replace(found, remarks=request.remarks)  # what is said of a text draws nothing


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests())
@example(a_request(prompt="a\tb\n\n  c \n", negative_prompt="\t"))
@example(a_request(prompt="a\rb"))
@example(a_request(negative_prompt="\x9b31mred"))
@example(a_request(prompt="a <lora:b:much>"))
def test_the_printed_command_is_exact_or_says_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: GenerationRequest
) -> None:
    """Whatever drew a picture: the printed words of a shell ask for it again, or a sentence says that they can't."""
    own = replace(request_, images=1)
    printed = told(own, tmp_path)

    assert not set(printed) & set("\x00\x07\x1b\x9b\r\x85")
    if REFUSED in printed:
        assert "\nAgain: " not in printed
        return
    command = printed[printed.index("\nAgain: ") + len("\nAgain: ") :]
    assert typed(command, own, tmp_path, monkeypatch) == own
    assert typed(carried_settings.command(request_), request_, tmp_path, monkeypatch) == request_


@pytest.mark.parametrize("prompt", [*SURVIVORS, "a\tb", "two\nlines", " led and trailed ", "\u2028 \u2029"])
def test_a_printed_command_keeps_every_character(
    prompt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joiners, marks of direction, tabs and line breaks stand in the command as they stood in both prompts."""
    request = a_request(prompt=prompt + " x", negative_prompt=prompt)
    printed = told(request, tmp_path)

    assert REFUSED not in printed
    command = printed[printed.index("\nAgain: ") + len("\nAgain: ") :]
    assert typed(command, request, tmp_path, monkeypatch) == request


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x07", "\r", "\x0b", "\x7f", "\x85", "\x9b"])
@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_what_would_drive_a_terminal_is_named(char: str, name: str, tmp_path: Path) -> None:
    """No terminal is sent a control character: the command that would need one says which."""
    printed = told(a_request(**{name: f"a{char}b"}), tmp_path)

    assert f"{REFUSED} and would draw another picture: it holds U+{ord(char):04X}" in printed
    assert char not in printed


def test_a_terminal_without_unicode_gets_no_wrong_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its encoding can't write becomes question marks, and the command says that it can't be copied."""
    file = tmp_path / "made.png"
    file.write_bytes(encode_png(Image.new("RGB", (8, 8)), request=a_request(prompt=f"é {FAMILY}")))
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1", write_through=True))

    assert carried_settings.show_info(file, Settings()) == 0
    printed = raw.getvalue().decode("latin-1")
    assert "Prompt: é ?" in printed
    assert f"{REFUSED} and would draw another picture: it holds U+200D" in printed


# ------------------------------------------------------------------ the chat

NAMES = "prompt|negative_prompt|image|mask|strength|upscale|aspect|size|steps|guidance|seed|sampler|images|model|lora"


def pasted(command: str, request: GenerationRequest) -> GenerationRequest:
    """What /imagine makes of a command that was pasted into Discord's form, which has one line and trims values."""
    assert command.startswith("/imagine ")
    line = re.sub(r"[\r\n\t]+", " ", command.removeprefix("/imagine"))
    parts = re.split(rf"(?:^|\s)({NAMES}):", line)
    options = {name: value.strip() for name, value in zip(parts[1::2], parts[2::2], strict=True)}
    model = offered(request)
    assert options["model"] == model.id
    assert ("size" in options) == (request.upscale == 1)
    given = {name: int(options[name]) for name in ("steps", "seed", "images", "upscale") if name in options}
    given |= {name: float(options[name]) for name in ("guidance", "strength") if name in options}
    files: dict[str, Any] = {}
    if request.image is not None:  # attached anew, as the text beside the command says
        files["image"] = Picture(name="i.png", size=IMAGE_SIZE, digest=request.image)
    if request.mask is not None:
        files["mask"] = Picture(name="m.png", size=IMAGE_SIZE, digest=request.mask)
    filled: dict[str, Any] = {**options, **given, **files}
    (wish,) = parse(Wish(**filled), most=1).wishes
    texts = [drawn(text) for text in (wish.prompt, wish.negative_prompt or "")]
    found = resolve(
        replace(wish, prompt=texts[0], negative_prompt=texts[1] or None), model, seed=request.seed
    )
    return replace(found, remarks=request.remarks)  # what is said of a text draws nothing


def drawn(text: str) -> str:
    """As /imagine draws it where there are no wildcards: none may be found in it."""
    return wildcards.filled(text, lambda name: pytest.fail(name), wildcards.Draw(0))


def of_job(request: GenerationRequest) -> tuple[str, str]:
    return describe(replace(job(), request=request), ENGLISH)


@settings(max_examples=300, deadline=None)
@given(requests())
@example(a_request(prompt="two\nlines"))
@example(a_request(prompt="a cat seed:7"))
@example(a_request(guidance_scale=7.1234567891))
@example(a_request(negative_prompt="👩" * 3000))
def test_the_chats_command_is_exact_or_says_no(request_: GenerationRequest) -> None:
    """Whatever drew a picture: ℹ️ Info's command asks for it again, or the text beside it says that it can't."""
    text, command = of_job(request_)

    assert safe.utf16_length(text) <= 950
    if REFUSED not in text:
        assert pasted(command, request_) == request_


@pytest.mark.parametrize("prompt", SURVIVORS)
def test_the_chats_command_keeps_every_character(prompt: str) -> None:
    """Joiners, marks of direction and special spaces stand in the command as they stood in both prompts."""
    request = a_request(prompt=prompt, negative_prompt=prompt, guidance_scale=7.1234567891)
    text, command = of_job(request)

    assert REFUSED not in text
    assert pasted(command, request) == request


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prompt": "two\nlines"}, "Discord's form can't hold every character of its prompt."),
        ({"negative_prompt": "a\tb"}, "Discord's form can't hold every character of its negative prompt."),
        ({"prompt": "a cat size:64x64"}, "every character of its prompt."),
        ({"prompt": " a"}, "every character of its prompt."),
        ({"prompt": "a\x1b[31m"}, "every character of its prompt."),
        ({"prompt": "👩" * 2001}, "every character of its prompt."),
        ({"prompt": "a <lora:b:much>"}, "its prompt would be read as one with the tag of a LoRA."),
        ({"negative_prompt": "a <lora:b:1>"}, "its negative prompt would be read as one with a tag."),
        ({"prompt": "a <lora:b:1>"}, "its prompt would be read as one with the tag of a LoRA."),
        ({"tile": True, "prompt": "a "}, "every character of its prompt."),
        ({"references": (DIGEST,)}, "/imagine has no option for images to edit."),
        ({"loras": (Lora(name="b", weight=0.12345678),)}, "the weight of a LoRA has more digits"),
    ],
)
def test_what_discord_would_change_is_told(changes: dict[str, Any], reason: str) -> None:
    """Beside the command stands why it would draw another picture."""
    text, _ = of_job(a_request(**changes))

    assert f"The command {REFUSED}: " in text
    assert reason in text
