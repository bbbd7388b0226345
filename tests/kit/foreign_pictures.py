"""Pictures as other programs save them: what they write, in the format each writes it in; made here, with Pillow."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image, PngImagePlugin

from engine.pictures import texts as picture_texts

A1111 = (
    "a castle, 漢字 é\nNegative prompt: fog\nSteps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, "
    'Seed: 5, Size: 640x512, Model: dream, Lora hashes: "a: 1, b: 2", Version: f2.0.1'
)


def png(**texts: str) -> bytes:
    """A PNG with these texts."""
    return named_png(dict(texts))


def named_png(texts: dict[str, str], side: int = 8) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        chunks.add_text(key, text)
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def with_exif(kind: str, tags: dict[int, Any], comment: bytes | None = None) -> bytes:
    """A picture of this format with these tags of its first directory and this user comment."""
    exif = Image.Exif()
    exif[0x0131] = ""  # Pillow takes data without any tag of the first directory for empty
    for tag, value in tags.items():
        exif[tag] = value
    if comment is not None:
        exif.get_ifd(0x8769)[0x9286] = comment
    if kind == "TIFF":  # which is what EXIF data are
        return exif.tobytes().removeprefix(b"Exif\0\0")
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


CODES: dict[str, Callable[[str], bytes]] = {
    "big": lambda text: b"UNICODE\0" + text.encode("utf-16-be"),
    "little": lambda text: b"UNICODE\0" + text.encode("utf-16-le"),
    "marked big": lambda text: b"UNICODE\0\xfe\xff" + text.encode("utf-16-be"),
    "marked little": lambda text: b"UNICODE\0\xff\xfe" + text.encode("utf-16-le"),
    "UTF-8 called unicode": lambda text: b"UNICODE\0" + text.encode(),
    "UTF-8 called ASCII": lambda text: b"ASCII\0\0\0" + text.encode(),
    "undefined": lambda text: bytes(8) + text.encode(),
    "bare": lambda text: text.encode(),
}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


GRAPH: dict[str, Any] = {
    "3": node(
        "KSampler",
        seed=156680208700286,
        steps=20,
        cfg=8.5,
        sampler_name="euler",
        scheduler="normal",
        denoise=1,
        model=["11", 0],
        positive=["10", 0],
        negative=["10", 1],
        latent_image=["5", 0],
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="dream.safetensors"),
    "5": node("EmptyLatentImage", width=640, height=512, batch_size=1),
    "6": node("CLIPTextEncode", text=["12", 0], clip=["4", 1]),
    "7": node("CLIPTextEncode", text="fog", clip=["4", 1]),
    "9": node("SaveImage", images=["8", 0]),
    "8": node("VAEDecode", samples=["3", 0]),
    "10": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=1),
    "11": node("LoraLoader", lora_name="detail.safetensors", strength_model=0.8, model=["13", 0]),
    "13": node(
        "Power Lora Loader (rgthree)",
        lora_1={"on": True, "lora": "pixel.safetensors", "strength": 1},
        lora_2={"on": False, "lora": "other.safetensors", "strength": 1},
        model=["4", 0],
    ),
    "12": node("PrimitiveString", value="a castle"),
}

FLUX: dict[str, Any] = {
    "13": node(
        "SamplerCustomAdvanced", noise=["25", 0], guider=["22", 0], sampler=["16", 0], sigmas=["17", 0]
    ),
    "22": node("BasicGuider", model=["12", 0], conditioning=["26", 0]),
    "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    "6": node("CLIPTextEncode", text="a castle"),
    "25": node("RandomNoise", noise_seed=7),
    "16": node("KSamplerSelect", sampler_name="euler"),
    "17": node("BasicScheduler", scheduler="simple", steps=20),
    "12": node("UNETLoader", unet_name="flux.safetensors"),
}

SWARM = {
    "sui_image_params": {
        "prompt": "a castle",
        "negativeprompt": "fog",
        "model": "dream",
        "seed": 5,
        "steps": 20,
        "cfgscale": 7.5,
        "width": 640,
        "height": 512,
        "sampler": "euler",
        "loras": ["styles/detail", "pixel"],
        "loraweights": ["0.8", "1"],
        "swarm_version": "0.9.1",
    },
    "sui_extra_data": {"date": "2025-01-01"},
}

FOOOCUS_LINE = (
    "a castle\nNegative prompt: fog\nSteps: 20, Sampler: DPM++ 2M SDE, Seed: 5, Size: 640x512, CFG scale: 7.5, "
    'Performance: Speed, Scheduler: karras, Model: dream, Lora hashes: "detail: x, pixel: y", '
    'Lora weights: "detail: 0.8, pixel: 1", Version: Fooocus v2.5.5'
)
FOOOCUS = {
    "prompt": "a castle",
    "negative_prompt": "fog",
    "base_model": "dream",
    "seed": "5",
    "steps": 20,
    "guidance_scale": 7.5,
    "resolution": "(640, 512)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "lora_combined_1": "detail.safetensors : 0.8",
    "loras": [["detail.safetensors", 0.8, "abc"], ["pixel.safetensors", 1.0, "def"]],
    "version": "Fooocus v2.5.0",
}

INVOKE = {
    "positive_prompt": "a castle",
    "negative_prompt": "fog",
    "model": {"name": "dream", "hash": "x"},
    "loras": [
        {"model": {"name": "detail", "hash": "x"}, "weight": 0.8},
        {"lora": {"model_name": "pixel"}, "weight": 1},
    ],
    "seed": 5,
    "steps": 20,
    "cfg_scale": 7.5,
    "width": 640,
    "height": 512,
    "scheduler": "euler",
}

OLD_INVOKE = {
    "model_weights": "dream",
    "image": {
        "prompt": [{"prompt": "a castle", "weight": 1.0}],
        "steps": 20,
        "cfg_scale": 7.5,
        "seed": 5,
        "sampler": "k_euler",
        "width": 640,
        "height": 512,
    },
}

NOVEL = {"steps": 20, "sampler": "k_euler", "seed": 5, "scale": 7.5, "uc": "fog", "width": 640, "height": 512}

NOVEL_PNG = {
    "Software": "NovelAI",
    "Source": "dream",
    "Description": "a castle",
    "Comment": json.dumps(NOVEL),
}

EASY = {
    "prompt": "a castle",
    "negative_prompt": "fog",
    "seed": "5",
    "num_inference_steps": "20",
    "use_stable_diffusion_model": "dream",
    "guidance_scale": "7.5",
    "width": "640",
    "height": "512",
}

DRAW = {
    "c": 'a "castle" & <moat>',
    "uc": "fog",
    "model": "dream",
    "seed": 5,
    "steps": 20,
    "scale": 7.5,
    "size": "640x512",
    "sampler": "Euler",
    "lora": [{"model": "detail", "weight": 0.8}, {"model": "pixel", "weight": 1}],
    "v2": {},
}


def xmp(inside: str) -> str:
    return f"<x:xmpmeta><rdf:RDF><rdf:Description>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>"


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


COMMENT = f"<exif:UserComment><rdf:Alt><rdf:li xml:lang='x-default'>{escaped(json.dumps(DRAW))}</rdf:li></rdf:Alt></exif:UserComment>"


def with_xmp(kind: str, text: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind, xmp=text.encode())
    return buffer.getvalue()


PICTURES: dict[str, tuple[str, bytes]] = {
    "SwarmUI's PNG": ("SwarmUI", png(parameters=json.dumps(SWARM), prompt=json.dumps(FLUX))),
    "SwarmUI's JPEG": ("SwarmUI", with_exif("JPEG", {}, CODES["little"](json.dumps(SWARM, indent=1)))),
    "Fooocus' PNG": ("Fooocus", png(parameters=json.dumps(FOOOCUS), fooocus_scheme="fooocus")),
    "Fooocus' JPEG": ("Fooocus", with_exif("JPEG", {0x9286: json.dumps(FOOOCUS), 0x0131: "Fooocus v2.5.0"})),
    "Fooocus' WebP": ("Fooocus", with_exif("WEBP", {0x9286: json.dumps(FOOOCUS)})),
    "Fooocus' line": ("Fooocus", png(parameters=FOOOCUS_LINE, fooocus_scheme="a1111")),
    "InvokeAI": ("InvokeAI", png(invokeai_metadata=json.dumps(INVOKE))),
    "InvokeAI 2": ("InvokeAI", named_png({"sd-metadata": json.dumps(OLD_INVOKE), "Dream": "x"})),
    "InvokeAI 1": ("InvokeAI", png(Dream='"a castle [fog]" -s 20 -S 5 -W 640 -H 512 -C 7.5 -A k_euler')),
    "NovelAI's PNG": ("NovelAI", named_png(NOVEL_PNG)),
    "NovelAI's WebP": (
        "NovelAI",
        with_exif("WEBP", {}, CODES["big"](json.dumps({**NOVEL_PNG, "prompt": "a castle"}))),
    ),
    "Easy Diffusion's PNG": ("Easy Diffusion", named_png(EASY)),
    "Easy Diffusion's JPEG": ("Easy Diffusion", with_exif("JPEG", {}, CODES["big"](json.dumps(EASY)))),
    "Draw Things' PNG": ("Draw Things", named_png({picture_texts.XMP: xmp(COMMENT)})),
    "Draw Things' JPEG": ("Draw Things", with_xmp("JPEG", xmp(COMMENT))),
    "Draw Things' WebP": ("Draw Things", with_xmp("WEBP", xmp(COMMENT))),
}


def hidden(mark: bytes, data: bytes) -> bytes:
    """A picture with this in the lowest bits of its transparency, column after column."""
    bits = "".join(f"{byte:08b}" for byte in mark + struct.pack(">I", 8 * len(data)) + data)
    image = Image.new("RGBA", (200, 200), (1, 2, 3, 254))
    for at, bit in enumerate(bits):
        image.putpixel((at // 200, at % 200), (1, 2, 3, 254 + int(bit)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
