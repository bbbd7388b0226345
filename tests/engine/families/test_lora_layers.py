"""Each layer that a LoRA file names is changed by alpha / rank · up · down, whoever wrote the file and however they differ."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch.nn import functional

from engine.contract import InvalidRequest, Lora
from engine.families.loras import Loras
from tests.kit.adapters import write
from workshop.bench.peers.original_format import unet_name

Load = Callable[[Path], Any]
Which = Literal["sd", "sdxl"]
Targets = Mapping[tuple[str, str], Any]
"""(part, name in it) -> layer."""


@pytest.fixture(scope="module")
def pipes(tiny: Path, tiny_xl: Path, load_pipe: Load) -> Mapping[Which, Any]:
    """Pipelines that nobody else draws with; a test puts its file beside the layers and takes it away again."""
    return {"sd": load_pipe(tiny), "sdxl": load_pipe(tiny_xl)}


def targets(pipe: Any) -> Targets:
    """All layers that trainers have LoRAs for."""
    found: dict[tuple[str, str], Any] = {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        for name, layer in getattr(getattr(pipe, part, None), "named_modules", list)():
            if "lora_" not in name and isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                found[part, name.removesuffix(".base_layer")] = layer
    return found


# ------------------------------------------------------------------ how trainers call their tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one trainer calls the tensors of a layer."""

    layer: Callable[[str, str, int], str]
    """(part, name, place of upsamplers) -> what the names of the layer's tensors begin with."""
    down: str = ".lora_down.weight"
    up: str = ".lora_up.weight"
    alpha: str | None = ".alpha"
    has: Callable[[str, str], bool] = lambda part, name: True


def hf(part: str, name: str) -> str:
    """The name before transformers 5 took `text_model.` away, which all trainers know."""
    return (
        name
        if part == "unet" or name.startswith(("text_model.", "text_projection"))
        else f"text_model.{name}"
    )


def sgm(name: str, behind: int) -> str:
    return unet_name(f"{name}.weight", behind, layers=1).removesuffix(".weight")


def kohya(part: str, name: str, behind: int, *, several: bool = False, original: bool = False) -> str:
    del behind
    begins = {
        "unet": "lora_unet",
        "text_encoder": "lora_te1" if several else "lora_te",
        "text_encoder_2": "lora_te2",
    }
    return f"{begins[part]}_{hf(part, name).replace('.', '_')}"


def kohya_xl(part: str, name: str, behind: int) -> str:
    told = sgm(name, behind) if part == "unet" else name
    return kohya(part, told, 0, several=True)


def attention(part: str, name: str) -> bool:
    return name.rpartition(".")[2] in {
        "to_q",
        "to_k",
        "to_v",
        "0",
        "q_proj",
        "k_proj",
        "v_proj",
        "out_proj",
    } and ("attn" in name)


def processors(part: str, name: str, behind: int) -> str:
    """Of diffusers 0.14: called after what computed with the layers."""
    del behind
    for ours, theirs in (("q_proj", "to_q"), ("k_proj", "to_k"), ("v_proj", "to_v"), ("out_proj", "to_out")):
        name = name.replace(ours, theirs) if part != "unet" else name
    name = name.removesuffix(".0") if name.endswith("to_out.0") else name
    block, _, layer = hf(part, name).rpartition(".")
    return f"{part}.{block}.{'processor.' if part == 'unet' else ''}{layer}_lora"


COMFY = {
    "text_encoder": "text_encoders.clip_l.transformer",
    "text_encoder_2": "text_encoders.clip_g.transformer",
}
OMI = {"unet": "unet", "text_encoder": "clip_l", "text_encoder_2": "clip_g"}
PEFT: dict[str, Any] = {"down": ".lora_A.weight", "up": ".lora_B.weight"}
LAYOUTS: Mapping[str, Layout] = {
    "kohya": Layout(layer=kohya),
    "kohya xl": Layout(layer=kohya_xl),
    "kohya te1": Layout(layer=lambda part, name, _: kohya(part, name, 0, several=True)),
    "diffusers": Layout(layer=lambda part, name, _: f"{part}.{name}", alpha=None, **PEFT),
    "diffusers with alphas": Layout(layer=lambda part, name, _: f"{part}.{hf(part, name)}", **PEFT),
    "diffusers 0.17": Layout(
        layer=lambda part, name, _: f"{part}.{hf(part, name)}",
        down=".lora.down.weight",
        up=".lora.up.weight",
        has=lambda part, name: part == "unet",
    ),
    "diffusers 0.17, texts": Layout(
        layer=lambda part, name, _: f"{part}.{hf(part, name)}",
        down=".lora_linear_layer.down.weight",
        up=".lora_linear_layer.up.weight",
        has=lambda part, name: part != "unet",
    ),
    "diffusers 0.14": Layout(
        layer=processors, down=".down.weight", up=".up.weight", alpha=None, has=attention
    ),
    "peft in its part": Layout(layer=lambda part, name, _: f"{part}.base_model.model.{name}", **PEFT),
    "peft around all": Layout(layer=lambda part, name, _: f"base_model.model.{part}.{name}", **PEFT),
    "peft alone": Layout(
        layer=lambda part, name, _: f"base_model.model.{name}",
        down=".lora_A.default.weight",
        up=".lora_B.default.weight",
        has=lambda part, name: part == "unet",
    ),
    "peft alone, texts": Layout(
        layer=lambda part, name, _: f"base_model.model.{hf(part, name)}",
        **PEFT,
        has=lambda part, name: part == "text_encoder",
    ),
    "no prefix": Layout(layer=lambda part, name, _: name, **PEFT, has=lambda part, name: part == "unet"),
    "OneTrainer": Layout(
        layer=lambda part, name, behind: (
            f"{OMI[part]}.{sgm(name, behind) if part == 'unet' else hf(part, name)}"
        )
    ),
    "ComfyUI": Layout(
        layer=lambda part, name, behind: (
            f"diffusion_model.{sgm(name, behind)}" if part == "unet" else f"{COMFY[part]}.{hf(part, name)}"
        )
    ),
    "LyCORIS": Layout(
        layer=lambda part, name, _: f"lycoris_{name.replace('.', '_')}", has=lambda part, name: part == "unet"
    ),
}


# ------------------------------------------------------------------ what is in a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a file says about one layer."""

    down: Any
    up: Any
    alpha: float | None

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / self.down.shape[0]


def changes(
    found: Targets, layout: Layout, *, each: bool, alphas: bool = True
) -> dict[tuple[str, str], Change]:
    """Random ones for all layers that the layout has; with `each` ranks and alphas differ from layer to layer."""
    generator = torch.Generator().manual_seed(3)
    told: dict[tuple[str, str], Change] = {}
    for number, ((part, name), layer) in enumerate(found.items()):
        if not layout.has(part, name):
            continue
        out, into, *kernel = layer.weight.shape
        rank = 1 + number % 6 if each else 4
        alpha = (0.5, 1.0, 3.0, 16.0, 7.3)[number % 5] if each else 2.0
        told[part, name] = Change(
            down=torch.randn((rank, into, *kernel), generator=generator) * 0.3,
            up=torch.randn((out, rank, *(1 for _ in kernel)), generator=generator) * 0.3,
            alpha=alpha if alphas and layout.alpha else None,
        )
    return told


def tensors(
    told: Mapping[tuple[str, str], Change], layout: Layout, which: Which, dtype: Any = torch.float32
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (part, name), change in told.items():
        begins = layout.layer(part, name, 2 if which == "sdxl" else 1)
        found |= {begins + layout.down: change.down.to(dtype), begins + layout.up: change.up.to(dtype)}
        if change.alpha is not None:
            assert layout.alpha is not None
            found[begins + layout.alpha] = torch.tensor(change.alpha)
    return found


def assert_changed(pipe: Any, told: Mapping[tuple[str, str], Change], weight: float = 1.0) -> None:
    """Each layer computes what the formula says, and all others what they did."""
    for part, name in targets(pipe):
        layer = getattr(pipe, part).get_submodule(name)
        base = getattr(layer, "base_layer", layer)
        shape = (2, base.weight.shape[1], *(5 for _ in base.weight.shape[2:]))
        into = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        plain, changed = (one(into).detach().double() for one in (base, layer))
        if (change := told.get((part, name))) is None:
            assert torch.equal(plain, changed), (part, name)
            continue
        delta = change.scale * weight * (change.up.double().flatten(1) @ change.down.double().flatten(1))
        delta = delta.reshape(base.weight.shape)
        more = (
            into.double() @ delta.T
            if delta.ndim == 2
            else functional.conv2d(into.double(), delta, stride=base.stride, padding=base.padding)
        )
        assert more.abs().max() > 1e-3
        torch.testing.assert_close(changed, plain + more, rtol=1e-4, atol=1e-4, msg=f"{part} {name}")


@pytest.fixture
def switched(tmp_path: Path, pipes: Mapping[Which, Any]) -> Iterator[Callable[..., Loras]]:
    """Switches on a file with these tensors; afterwards the pipelines are again as they were."""
    used: list[tuple[Any, Loras]] = []

    def switched(
        which: Which, found: Mapping[str, Any], weight: float = 1.0, metadata: Mapping[str, str] | None = None
    ) -> Loras:
        write(tmp_path / "loras", "x", found, metadata)
        loras = Loras(pipes[which], tmp_path)
        used.append((pipes[which], loras))
        wanted = (Lora(name="x", weight=weight),)
        loras.want(wanted)
        loras.hear()
        loras.see(wanted)
        return loras

    yield switched
    for pipe, loras in used:
        pipe.delete_adapters([each.adapter for each in loras._loaded.values()])


def fits(name: str, which: Which) -> bool:
    return (name != "kohya te1" or which == "sdxl") and (name != "kohya" or which == "sd")


FILES = [
    pytest.param(name, which, id=f"{name}, {which}")
    for name in LAYOUTS
    for which in ("sd", "sdxl")
    if fits(name, which)
]


ALIKE = [
    pytest.param(name, which, each, alphas, id=f"{name}, {which}, {told}")
    for name, which in (
        ("kohya", "sd"),
        ("kohya xl", "sdxl"),
        ("diffusers with alphas", "sd"),
        ("diffusers 0.14", "sdxl"),
        ("peft in its part", "sdxl"),
        ("ComfyUI", "sd"),
    )
    for each, alphas, told in ((False, True, "one for all"), (True, False, "no alphas"))
]
"""What the file says of rank and alpha is read behind the names, and by them alone: one layout of each way is enough."""


@pytest.mark.parametrize(
    ("name", "which", "each", "alphas"),
    [*(pytest.param(*file.values, True, True, id=file.id) for file in FILES), *ALIKE],
)
def test_every_layer_gets_alpha_by_rank(
    pipes: Mapping[Which, Any],
    switched: Callable[..., Loras],
    name: str,
    which: Which,
    each: bool,
    alphas: bool,
) -> None:
    """In every layout: with one rank and alpha for all, with others in each layer, and with no alpha, which weighs 1."""
    layout = LAYOUTS[name]
    told = changes(targets(pipes[which]), layout, each=each, alphas=alphas)
    loras = switched(which, tensors(told, layout, which))
    assert_changed(pipes[which], told)
    assert not loras.notes((Lora(name="x"),))


KINDS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@pytest.mark.parametrize(
    ("dtype", "alpha", "shape"),
    [
        (KINDS[(number + more) % 4], alpha, shape)  # each kind with two of the others
        for number, (alpha, shape) in enumerate(
            zip((*KINDS, torch.int64), ((), (1,), (1, 1), (), (1,)), strict=True)
        )
        for more in (0, 1)
    ],
)
def test_numbers_of_all_kinds(
    pipes: Mapping[Which, Any],
    switched: Callable[..., Loras],
    dtype: torch.dtype,
    alpha: torch.dtype,
    shape: tuple[int, ...],
) -> None:
    """Files and their alphas come in all of torch's kinds of numbers, and an alpha with or without sides."""
    layout = LAYOUTS["kohya"]
    told = changes(targets(pipes["sd"]), layout, each=True)
    found = tensors(told, layout, "sd", dtype)
    found |= {
        key: tensor.ceil().to(alpha).reshape(shape) for key, tensor in found.items() if key.endswith(".alpha")
    }
    switched("sd", found, weight=-0.7)
    told = {key: rounded(change, dtype) for key, change in told.items()}
    assert_changed(pipes["sd"], told, weight=-0.7)


def rounded(change: Change, dtype: torch.dtype) -> Change:
    assert change.alpha is not None
    return Change(down=change.down.to(dtype), up=change.up.to(dtype), alpha=math.ceil(change.alpha))


SETTINGS: list[tuple[dict[str, Any], Callable[[str, str, int], float]]] = [
    ({"lora_alpha": 8, "r": 4}, lambda part, name, rank: 8),
    ({"lora_alpha": 8, "use_rslora": True}, lambda part, name, rank: 8 * rank**0.5),
    (
        {"lora_alpha": 8, "alpha_pattern": {"attn2.to_k": 3, "fc1": 5.5}},
        lambda part, name, rank: 3 if name.endswith("attn2.to_k") else 5.5 if name.endswith("fc1") else 8,
    ),
    ({"r": 4}, lambda part, name, rank: rank),
]


@pytest.mark.parametrize(("settings", "alpha"), SETTINGS)
def test_what_diffusers_writes_into_its_files_counts(
    pipes: Mapping[Which, Any],
    switched: Callable[..., Loras],
    settings: dict[str, Any],
    alpha: Callable[[str, str, int], float],
) -> None:
    """A file without alphas can tell them in its header, in peft's words."""
    layout = LAYOUTS["diffusers"]
    told = changes(targets(pipes["sd"]), layout, each=True)
    header = json.dumps({f"{part}.{key}": value for part in OMI for key, value in settings.items()})
    switched("sd", tensors(told, layout, "sd"), metadata={"lora_adapter_metadata": header})
    expected = {
        (part, name): replace(change, alpha=alpha(part, name, change.down.shape[0]))
        for (part, name), change in told.items()
    }
    assert_changed(pipes["sd"], expected)


@pytest.mark.parametrize("header", ["{", "[1]", '"x"', "null"])
def test_settings_that_cannot_be_read_tell_nothing(
    pipes: Mapping[Which, Any], switched: Callable[..., Loras], header: str
) -> None:
    """Then a layer's alpha is its rank."""
    layout = LAYOUTS["diffusers"]
    told = changes(targets(pipes["sd"]), layout, each=True)
    switched("sd", tensors(told, layout, "sd"), metadata={"lora_adapter_metadata": header})
    assert_changed(pipes["sd"], told)


KINDS_OF_LAYERS = [("q_proj",), ("q_proj", "v_proj", "fc1"), ("fc2",), ("k_proj", "out_proj")]
LAYOUTS_OF_TEXTS = ["kohya xl", "diffusers", "diffusers 0.17, texts"]


@pytest.mark.parametrize(
    ("which", "kinds", "name"),
    [
        (which, kinds, LAYOUTS_OF_TEXTS[(number + more) % 3])
        for more, which in enumerate(("sd", "sdxl"))
        for number, kinds in enumerate(KINDS_OF_LAYERS)
    ],
)
def test_any_layers_of_text_encoders(
    pipes: Mapping[Which, Any],
    switched: Callable[..., Loras],
    kinds: tuple[str, ...],
    name: str,
    which: Which,
) -> None:
    """A file for some kinds of layers alone is used as a whole."""
    found = {key: layer for key, layer in targets(pipes[which]).items() if key[1].endswith(kinds)}
    told = changes(found, LAYOUTS[name], each=True)
    loras = switched(which, tensors(told, LAYOUTS[name], which))
    assert_changed(pipes[which], told)
    assert not loras.notes((Lora(name="x"),))


def test_convolutions_in_other_shapes(pipes: Mapping[Which, Any], switched: Callable[..., Loras]) -> None:
    """Matrices for convolutions of 1x1, convolutions of 1x1 for matrices, and LyCORIS's two convolutions for one."""
    layout = LAYOUTS["kohya"]
    told = changes(targets(pipes["sd"]), layout, each=True)
    found = tensors(told, layout, "sd")
    expected = dict(told)
    for (part, name), change in told.items():
        begins = layout.layer(part, name, 1)
        if change.down.ndim == 2:
            found[f"{begins}.lora_down.weight"] = change.down[..., None, None]
            found[f"{begins}.lora_up.weight"] = change.up[..., None, None]
        elif change.down.shape[-1] == 1:
            found[f"{begins}.lora_down.weight"] = change.down.flatten(1)
            found[f"{begins}.lora_up.weight"] = change.up.flatten(1)
        else:
            rank, into, *sides = change.down.shape
            first, mid = change.down[..., :1, :1].contiguous(), torch.randn(rank, rank, *sides) / rank
            found[f"{begins}.lora_down.weight"], found[f"{begins}.lora_mid.weight"] = first, mid
            both = (mid.permute(2, 3, 0, 1) @ first.reshape(rank, into)).permute(2, 3, 0, 1)
            expected[part, name] = replace(change, down=both)
    assert any(key.endswith("lora_mid.weight") for key in found)
    switched("sd", found)
    assert_changed(pipes["sd"], expected)


# ------------------------------------------------------------------ what is not used


def some(pipe: Any, layout: str = "kohya") -> dict[tuple[str, str], Change]:
    return changes(targets(pipe), LAYOUTS[layout], each=True)


@pytest.mark.parametrize(
    "more",
    [
        ("lora_unet_down_blocks_7_attentions_0_proj_in.lora_down.weight", "lora_up"),
        ("lora_unet_down_blocks_0_attentions_0_proj_in_x.lora_down.weight", "lora_up"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", "lora_up"),
        ("lora_te_text_model_encoder_layers_11_mlp_fc1.lora_down.weight", "lora_up"),
        ("lora_te_text_model_encoder_layers_11_mlp_fc1.lora_down.weight", "alpha"),
        ("controlnet.x.lora_down.weight", "lora_up"),
    ],
)
def test_layers_that_the_model_has_not_are_told(
    pipes: Mapping[Which, Any], switched: Callable[..., Loras], more: tuple[str, str]
) -> None:
    """The others are used as they are, and the person reads how many those were."""
    told = some(pipes["sd"])
    key, other = more
    found = tensors(told, LAYOUTS["kohya"], "sd") | {key: torch.ones(2, 32)}
    found[key.replace("lora_down.weight", "alpha" if other == "alpha" else f"{other}.weight")] = (
        torch.tensor(1.0) if other == "alpha" else torch.ones(32, 2)
    )
    loras = switched("sd", found)
    assert_changed(pipes["sd"], told)
    count = len(told)
    assert loras.notes((Lora(name="x"),)) == (
        f"Of the {count + 1} layers of the LoRA “x”, {count} were used: this model has no place for the others.",
    )


def test_a_layer_under_two_names_is_used_once(
    pipes: Mapping[Which, Any], switched: Callable[..., Loras]
) -> None:
    """Files that were merged by hand hold diffusers' names beside those of Stability's code: never both are added."""
    told = some(pipes["sd"])
    again = {
        key: value
        for key, value in tensors(told, LAYOUTS["OneTrainer"], "sd").items()
        if key.startswith("unet.input_blocks")
    }
    loras = switched(
        "sd", tensors(told, LAYOUTS["kohya"], "sd") | {key: value * 9 for key, value in again.items()}
    )
    assert_changed(pipes["sd"], told)
    (note,) = loras.notes((Lora(name="x"),))
    assert f", {len(told)} were used" in note


def test_embeddings_that_came_along_are_left_alone(
    pipes: Mapping[Which, Any], switched: Callable[..., Loras]
) -> None:
    """They are no layers, and none of those that a person is told of."""
    told = some(pipes["sd"])
    bundle = {
        "bundle_emb.soft_hada_x.clip_l": torch.ones(1, 32),
        "bundle_emb.y.string_to_param.*": torch.ones(1, 32),
    }
    loras = switched("sd", tensors(told, LAYOUTS["kohya"], "sd") | bundle)
    assert_changed(pipes["sd"], told)
    assert not loras.notes((Lora(name="x"),))


BAD: list[tuple[str, Callable[[Any, Any], tuple[Any, Any]], Any]] = [
    ("wider", lambda down, up: (torch.cat([down, down], dim=1), up), 1.0),
    ("longer", lambda down, up: (down, torch.cat([up, up])), 1.0),
    ("another rank", lambda down, up: (torch.cat([down, down]), up), 1.0),
    ("no rank", lambda down, up: (down[:0], up[:, :0]), 1.0),
    ("turned round", lambda down, up: (down.T.contiguous(), up.T.contiguous()), 1.0),
    ("flat", lambda down, up: (down.flatten(), up), 1.0),
    ("a number", lambda down, up: (torch.tensor(1.0), torch.tensor(1.0)), 1.0),
    ("deeper", lambda down, up: (down[..., None, None].expand(-1, -1, 3, 3).contiguous(), up), 1.0),
    ("alphas", lambda down, up: (down, up), [1.0, 2.0]),
    ("no alpha", lambda down, up: (down, up), []),
]


@pytest.mark.parametrize(("change", "alpha"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
@pytest.mark.parametrize(
    "name",
    ["unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k", "te_text_model_encoder_layers_1_mlp_fc2"],
)
def test_wrong_shapes_are_refused_as_a_whole(
    pipes: Mapping[Which, Any],
    switched: Callable[..., Loras],
    name: str,
    change: Callable[[Any, Any], tuple[Any, Any]],
    alpha: Any,
) -> None:
    """One layer that does not fit is no LoRA for this model: nothing of the file is left beside its layers."""
    pipe = pipes["sd"]
    found = tensors(some(pipe), LAYOUTS["kohya"], "sd")
    down, up = f"lora_{name}.lora_down.weight", f"lora_{name}.lora_up.weight"
    found[down], found[up] = change(found[down], found[up])
    found[f"lora_{name}.alpha"] = torch.tensor(alpha)
    with pytest.raises(InvalidRequest, match="The LoRA “x” can't be used: it does not fit this model"):
        switched("sd", found)
    assert_changed(pipe, {})
    assert not any(pipe.get_list_adapters().values())


def test_several_at_once_add_up(pipes: Mapping[Which, Any], tmp_path: Path) -> None:
    """Files of other layouts, ranks and layers are each there with their own weight, and gone when they are not asked for."""
    pipe = pipes["sd"]
    whole = targets(pipe)
    half = {key: layer for key, layer in whole.items() if "attn" in key[1]}
    files = {
        "a": (changes(whole, LAYOUTS["kohya"], each=True), LAYOUTS["kohya"], 0.5),
        "b": (changes(half, LAYOUTS["diffusers"], each=True), LAYOUTS["diffusers"], -1.5),
    }
    for name, (told, layout, _) in files.items():
        write(tmp_path / "loras", name, tensors(told, layout, "sd"))
    loras = Loras(pipe, tmp_path)
    both = tuple(Lora(name=name, weight=weight) for name, (_, _, weight) in files.items())
    loras.want(both)
    loras.hear()
    loras.see(both)
    layer = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_v
    place = ("unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_v")
    into = torch.randn(2, layer.base_layer.in_features, generator=torch.Generator().manual_seed(1))
    expected = layer.base_layer(into)
    for told, _, weight in files.values():
        change = told[place]
        expected = expected + weight * change.scale * (into @ change.down.T @ change.up.T)
    torch.testing.assert_close(layer(into), expected, rtol=1e-4, atol=1e-4)
    loras.want(())
    loras.hear()
    loras.see(())
    assert_changed(pipe, {})
    pipe.delete_adapters([each.adapter for each in loras._loaded.values()])
