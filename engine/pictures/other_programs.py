"""What other programs write into their pictures about how they were made, read into one form; knows texts, no files.

Strangers write these texts: every reader takes time in proportion to their length, and what none understands is told as
it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

from engine.contract import Lora
from engine.pictures import other_loras
from engine.pictures.info import PictureInfo
from engine.pictures.texts import SIGNED, UNKNOWN_SIGNER, XMP

Texts = Mapping[str, str]
Values = Mapping[str, Any]

PARAMETERS_KEY = "parameters"
FIELDS_MAX = 500
"""Settings of one picture that are told."""
WORD_CHARS_MAX = 500
"""Of one setting; prompts are told whole."""
_COMMENTS = ("UserComment", "comment", "Comment", "ImageDescription", "XPComment")
"""Where a text about the picture stands in EXIF data, in JPEG and GIF, and in old PNGs."""
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, OverflowError)
"""What JSON of another shape than expected leads to."""


def read(texts: Texts) -> PictureInfo | None:
    """What the texts of a picture's file say, None where no reader understands them."""
    for reader in _READERS:
        try:
            found = reader(texts)
        except _UNREADABLE:
            continue
        if found is not None:
            return found
    return None


# ------------------------------------------------------------------ AUTOMATIC1111 and whoever writes like it

_NEGATIVE = "Negative prompt:"
_FIELD = re.compile(r'(\w[\w \-/]++)(?::\s*("(?:\\.|[^\\"])++"(?=,|$)|[^,]*),?)?')
"""That program's own expression, but for one thing: words that no colon follows are passed over at once, not letter by letter."""
_FIELDS_MIN = 3
"""A last line with fewer fields than this belongs to the prompt."""
_SIZE = re.compile(r"^(\d+)x(\d+)$")


def _automatic1111(texts: Texts) -> PictureInfo | None:
    for key in (PARAMETERS_KEY, *_COMMENTS):  # anything may stand there
        found = parse_parameters(texts.get(key, ""))
        if found.fields:
            loras = other_loras.of_text(found.fields.get("Lora weights", ""))
            return replace(found, program=_writer(found.fields), loras=loras)
    return None


_WRITERS = (
    (re.compile(r"(Easel|Fooocus|ComfyUI|SwarmUI)\b"), None),
    (re.compile(r"neo\b|classic\b|f\d"), "Forge"),
    (re.compile(r"v?\d+\.\d"), "AUTOMATIC1111"),
)
"""How the version begins that a program writes, and which one it is: None for what stands there itself."""


def _writer(fields: Mapping[str, str]) -> str:
    """Which of the programs that write this line wrote it, "" where none says so."""
    if "App" in fields:
        return fields["App"]
    version = fields.get("Version", "")
    for begins, name in _WRITERS:
        if (match := begins.match(version)) is not None:
            return name or match[1]
    return ""


def _prompt_alone(texts: Texts) -> PictureInfo | None:
    return parse_parameters(texts[PARAMETERS_KEY]) if PARAMETERS_KEY in texts else None


def parse_parameters(text: str) -> PictureInfo:
    """Reads a `parameters` text by AUTOMATIC1111's rules; never raises."""
    *lines, last = text.strip().split("\n")
    fields = _pairs(last)
    if len(fields) < _FIELDS_MIN:
        lines, fields = [*lines, last], []
    prompt: list[str] = []
    negative: list[str] = []
    part = prompt
    for line in (line.strip() for line in lines):
        if line.startswith(_NEGATIVE):
            part = negative
            line = line.removeprefix(_NEGATIVE).strip()  # noqa: PLW2901
        part.append(line)
    return PictureInfo(
        prompt="\n".join(prompt).strip("\n"),
        negative_prompt="\n".join(negative).strip("\n"),
        fields=_split(fields[:FIELDS_MAX]),
    )


def _pairs(line: str) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in _FIELD.finditer(line) if match[2] is not None]


def _split(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, raw in pairs:
        value = _unquote(raw)
        if size := _SIZE.match(value):
            found[f"{key}-1"], found[f"{key}-2"] = size.groups()
        else:
            found[key] = value
    return found


def _unquote(text: str) -> str:
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


# ------------------------------------------------------------------ programs that write JSON

_PROMPTS = ("prompt", "positive_prompt", "Prompt", "c")
_NEGATIVES = ("negative_prompt", "negativeprompt", "Negative Prompt", "Negative", "negative", "uc")
_NAMES = {
    "steps": "Steps",
    "num_inference_steps": "Steps",
    "sampler": "Sampler",
    "sampler_name": "Sampler",
    "scheduler": "Scheduler",
    "cfg_scale": "CFG scale",
    "cfgscale": "CFG scale",
    "guidance_scale": "CFG scale",
    "scale": "CFG scale",
    "cfg": "CFG scale",
    "seed": "Seed",
    "noise_seed": "Seed",
    "model": "Model",
    "base_model": "Model",
    "base_model_name": "Model",
    "model_weights": "Model",
    "use_stable_diffusion_model": "Model",
    "Source": "Model",
    "ckpt_name": "Model",
    "unet_name": "Model",
    "strength": "Denoising strength",
    "denoise": "Denoising strength",
    "resolution": "Size",
    "size": "Size",
}
"""What programs call a setting, and what AUTOMATIC1111 does, where that is another word."""
_TELLING = {
    "sui_image_params": "SwarmUI",
    "swarm_version": "SwarmUI",
    "use_stable_diffusion_model": "Easy Diffusion",
    "uc": "NovelAI",
    "base_model": "Fooocus",
    "positive_prompt": "InvokeAI",
    "app_version": "InvokeAI",
}
"""Keys that one program alone uses."""
_WRAPPERS = ("sui_image_params", "image", "Comment")
"""Keys under which some put the settings, as an object or as JSON in JSON."""


def _json(texts: Texts) -> PictureInfo | None:
    for key, text in _candidates(texts):
        values = _object(text)
        if values is None or _is_graph(values):
            continue
        program = _program(key, values, texts)
        for wrapper in _WRAPPERS:
            inner = values.get(wrapper)
            inside = _object(inner) if isinstance(inner, str) else _entries(inner)
            values = {**values, **(inside or {})}
            program = program or _program(key, values, texts)
        if key == "Comment" and "Description" in texts:  # where NovelAI's prompt stands
            values = {"prompt": texts["Description"], "model": texts.get("Source"), **values}
        found = _from_values(values, program)
        if found is not None:
            return found
    return None


def _candidates(texts: Texts) -> Iterator[tuple[str, str]]:
    keys = ("invokeai_metadata", "sd-metadata", PARAMETERS_KEY, *_COMMENTS)
    yield from ((key, texts[key]) for key in keys if key in texts)
    yield from ((XMP, text) for text in _xmp_comments(texts.get(XMP, "")))


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text holds, None where it holds none."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):  # numbers of 10,000 digits, lists in lists in lists
        return None
    return cast("dict[str, Any]", values) if isinstance(values, dict) else None


def _program(key: str, values: Values, texts: Texts) -> str:
    if key in {"invokeai_metadata", "sd-metadata"}:
        return "InvokeAI"
    if key == XMP and "c" in values:
        return "Draw Things"
    known = next((program for name, program in _TELLING.items() if name in values), None)
    told = (values.get("software"), values.get("Software"), known, texts.get("Software"))
    return next((_short(name) for name in told if isinstance(name, str) and name), "")


def _from_values(values: Values, program: str) -> PictureInfo | None:
    prompt = next((_prompt(values[key]) for key in _PROMPTS if key in values), None)
    if prompt is None:
        return None
    negative = next((_prompt(values[key]) for key in _NEGATIVES if key in values), "")
    known = {*_PROMPTS, *_NEGATIVES, *_WRAPPERS}
    rest = {key: value for key, value in values.items() if key not in known}
    loras = other_loras.of_settings(values)
    return PictureInfo(
        prompt=prompt,
        negative_prompt=negative or "",
        fields=_fields(rest) | _told(loras),
        program=program,
        loras=loras,
    )


def _told(loras: tuple[Lora, ...]) -> dict[str, str]:
    """As one field, empty where there are none."""
    names = (lora.name if lora.weight == 1 else str(lora) for lora in loras)
    return {"LoRA": _short(", ".join(names))} if loras else {}


def _prompt(value: object) -> str | None:
    """A prompt as text; some keep it in pieces."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        words = [_entries(piece).get("prompt", piece) for piece in cast("list[object]", value)]
        return "\n".join(word for word in words if isinstance(word, str))
    return None


def _entries(value: object) -> dict[str, Any]:
    """What a JSON object holds; anything else holds nothing."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _fields(values: Values) -> dict[str, str]:
    """The settings that are words or numbers, under the names of AUTOMATIC1111."""
    found: dict[str, str] = {}
    if "width" in values and "height" in values:
        found["Size"] = f"{_word(values['width'])}x{_word(values['height'])}"
    for key, value in values.items():
        word = _word(value)
        if word and len(found) < FIELDS_MAX and key not in {"width", "height"}:
            found.setdefault(_NAMES.get(key, _short(key)), word)
    return dict(sorted(found.items(), key=lambda item: item[0] not in _NAMES.values()))


def _word(value: object) -> str:
    match value:
        case str():
            return _short(value.strip())
        case bool() | int() | float():
            return _short(str(value))
        case _:
            inner = _entries(value)
            name = inner.get("name") or inner.get("model_name")
            return _word(name) if name else ""


def _short(text: str) -> str:
    return text if len(text) <= WORD_CHARS_MAX else f"{text[:WORD_CHARS_MAX]}…"


def _xmp_comments(xmp: str) -> Iterator[str]:
    """The user comment of EXIF as XMP writes it: as an element, in other elements, or as an attribute."""
    element = _between(xmp, "<exif:UserComment", "</exif:UserComment>")
    yield _unescaped(re.sub(r"<[^<>]*+>", "", element.partition(">")[2]))
    yield _unescaped(_between(xmp, 'exif:UserComment="', '"'))


def _between(text: str, opening: str, closing: str) -> str:
    start = text.find(opening)
    end = text.find(closing, start + len(opening))
    return text[start + len(opening) : end] if 0 <= start < end else ""


def _unescaped(text: str) -> str:
    for written, char in _ENTITIES.items():
        text = text.replace(written, char)
    return text.strip()


_ENTITIES = {
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&#34;": '"',
    "&apos;": "'",
    "&#39;": "'",
    "&#xA;": "\n",
    "&#10;": "\n",
    "&amp;": "&",
}
"""Of XML, the ampersand last."""


# ------------------------------------------------------------------ ComfyUI: a graph of nodes

_TEXTS_OF_NODES = ("text", "text_g", "text_l", "t5xxl", "clip_l", "prompt", "string", "value")
_WANTED = {
    *("seed", "noise_seed", "steps", "cfg", "guidance", "sampler_name", "scheduler", "denoise"),
    *("ckpt_name", "unet_name"),
}


def _comfyui(texts: Texts) -> PictureInfo | None:
    graph, is_comfyui = _graph(texts)
    if graph is None:
        return PictureInfo(prompt="", program="ComfyUI") if is_comfyui else None
    sampler = _sampler(graph)
    reached = _reached(graph, sampler)
    values: dict[str, Any] = {}
    for node in reached:
        for key, value in _inputs(graph, node).items():
            is_size = key in {"width", "height"} and "latent" in _kind(graph, node).lower()
            if (key in _WANTED or is_size) and _word(value):
                values.setdefault(key, value)
    loras = other_loras.of_nodes(_inputs(graph, node) for node in reached)
    return PictureInfo(
        prompt=_words(graph, sampler, ("positive", "conditioning"), without="negative"),
        negative_prompt=_words(graph, sampler, ("negative",), without="positive"),
        fields=_fields(values) | _told(loras),
        program="ComfyUI",
        loras=loras,
    )


def _graph(texts: Texts) -> tuple[Values | None, bool]:
    """The graph that was run, and whether any text is ComfyUI's at all."""
    is_comfyui = False
    for key in ("prompt", "workflow", "Model", "Make", "ImageDescription", "UserComment", PARAMETERS_KEY):
        text = texts.get(key, "")
        label, colon, rest = text.partition(":")
        if colon and label.strip().lower() in {"prompt", "workflow"}:  # how EXIF's texts begin
            text = rest
        values = _object(text) or {}
        values = _entries(values.get("prompt")) or values
        if _is_graph(values):
            return values, True
        is_comfyui = is_comfyui or isinstance(values.get("nodes"), list)
    return None, is_comfyui


def _is_graph(values: Values) -> bool:
    return any("class_type" in _entries(node) for node in values.values())


def _kind(graph: Values, node: str) -> str:
    return str(_entries(graph.get(node)).get("class_type", ""))


def _inputs(graph: Values, node: str) -> dict[str, Any]:
    return _entries(_entries(graph.get(node)).get("inputs"))


def _linked(value: object) -> str | None:
    """The node whose output an input is, None where it is a value."""
    if isinstance(value, list) and len(cast("list[object]", value)) == 2:
        node = cast("list[object]", value)[0]
        return node if isinstance(node, str) else str(node) if isinstance(node, int) else None
    return None


def _reached(graph: Values, start: str, *, without: str = "") -> list[str]:
    """All nodes that this one depends on, the nearest first; no way leads through inputs called `without`."""
    nodes, seen = [start], {start}
    for node in nodes:  # which grows
        for name, value in _inputs(graph, node).items():
            linked = _linked(value)
            if linked is not None and linked not in seen and name != without:
                seen.add(linked)
                nodes.append(linked)
    return nodes


def _sampler(graph: Values) -> str:
    """The node that draws: one with a positive prompt, else one called a sampler, else the first."""
    told = [node for node in graph if "sampler" in _kind(graph, node).lower()]
    prompted = [node for node in told if _linked(_inputs(graph, node).get("positive")) is not None]
    guided = [node for node in told if "guider" in _inputs(graph, node)]
    return next(iter([*prompted, *guided, *told, *graph]))


def _words(graph: Values, sampler: str, inputs: tuple[str, ...], *, without: str) -> str:
    """The texts of the node nearest to these inputs of the node that draws, or of what guides it."""
    own = _inputs(graph, sampler)
    guider = _linked(own.get("guider")) or _linked(own.get("text_embeds"))
    if guider is not None:
        own = {**_inputs(graph, guider), **own}
    told = [own[name] for name in inputs if name in own]
    linked = [node for node in map(_linked, told) if node is not None]
    for node in _reached(graph, linked[0], without=without) if linked else []:
        own = _inputs(graph, node)
        names = inputs[:1] if isinstance(own.get(inputs[0]), str) else _TEXTS_OF_NODES
        texts = [own.get(name) for name in names]
        words = dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip())
        if words:
            return "\n".join(words)
    return next((text.strip() for text in told if isinstance(text, str)), "")


# ------------------------------------------------------------------ the rest


def _novelai(texts: Texts) -> PictureInfo | None:
    """Where the settings beside the prompt can't be read."""
    if texts.get("Software") != "NovelAI":
        return None
    return PictureInfo(prompt=texts.get("Description", ""), program="NovelAI")


_DREAM = {"s": "Steps", "S": "Seed", "C": "CFG scale", "A": "Sampler"}


def _dream(texts: Texts) -> PictureInfo | None:
    """The command line of InvokeAI's first years."""
    if "Dream" not in texts:
        return None
    prompt, _, options = texts["Dream"].strip().lstrip('"').rpartition('"')
    words = options.split()
    told = {word[1:]: value for word, value in pairwise(words) if word.startswith("-")}
    fields = {name: _short(told[key]) for key, name in _DREAM.items() if key in told}
    if "W" in told and "H" in told:
        fields["Size"] = _short(f"{told['W']}x{told['H']}")
    positive, bracket, negative = prompt.partition("[")
    return PictureInfo(
        prompt=positive.strip(),
        negative_prompt=negative.partition("]")[0].strip() if bracket else "",
        fields=fields,
        program="InvokeAI",
    )


def _easy_diffusion(texts: Texts) -> PictureInfo | None:
    """A text for each setting, under its own name."""
    values = {key.lower().replace(" ", "_"): text for key, text in texts.items()}
    if "negative_prompt" not in values and "use_stable_diffusion_model" not in values:
        return None
    return _from_values(values, "Easy Diffusion")


_JOB = re.compile(r"\bJob ID: ([0-9a-fA-F-]{36})")


def _midjourney(texts: Texts) -> PictureInfo | None:
    """Its prompt ends in options as they were typed, and the number of the job."""
    for key in ("Description", "ImageDescription"):
        text = texts.get(key, "")
        job = _JOB.search(text)
        if job is None:
            continue
        prompt, *options = f" {text[: job.start()].strip()}".split(" --")
        told = {name: value.strip() for name, _, value in (option.partition(" ") for option in options)}
        fields = {
            _short(f"--{name}"): _short(value or "on") for name, value in list(told.items())[:FIELDS_MAX]
        }
        author = texts.get("Author") or texts.get("Artist", "")
        return PictureInfo(
            prompt=prompt.strip(),
            fields={**fields, **({"Author": _short(author)} if author else {}), "Job ID": job[1]},
            program="Midjourney",
        )
    return None


def _signed(texts: Texts) -> PictureInfo | None:
    """Content credentials and XMP say who made a picture, and nothing of the words that it was made from."""
    signer = texts.get(SIGNED, UNKNOWN_SIGNER)
    if signer != UNKNOWN_SIGNER:
        return PictureInfo(prompt="", program=f"{signer}, by its content credentials, which tell no prompt")
    xmp = texts.get(XMP, "")
    if "trainedAlgorithmicMedia" not in xmp:
        return None
    credit = _between(xmp, 'photoshop:Credit="', '"') or _between(
        xmp, "<photoshop:Credit>", "</photoshop:Credit>"
    )
    tool = _between(xmp, 'xmp:CreatorTool="', '"') or _between(xmp, "<xmp:CreatorTool>", "</xmp:CreatorTool>")
    who = _short(_unescaped(credit or tool)) or "a trained model"
    return PictureInfo(prompt="", program=f"{who}, by its XMP data, which tell no prompt")


_READERS: tuple[Callable[[Texts], PictureInfo | None], ...] = (
    _json,
    _automatic1111,
    _comfyui,
    _easy_diffusion,
    _dream,
    _novelai,
    _midjourney,
    _prompt_alone,
    _signed,
)
"""The surest first: some pictures carry what several programs write."""
