"""Converts a model for OpenVINO: `python -m engine.openvino.convert PARENT`, an `Order` on stdin; a process of its own.

Tracing a model holds Python for seconds to minutes, and changes what calling a module means for everybody in its process.
This one stands behind everybody else, on the cores and where memory is short, and leaves when its parent does.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.openvino import files

if TYPE_CHECKING:
    import torch

_KILLED = -9
"""By the system: its exit code."""
NICE = 19
LOOK_EVERY_S = 1.0
LIMIT_S = 3600.0
"""For converting; who takes longer hangs."""
ENDED = "the system ended what converts it, most often for lack of memory"
UNET, DECODER, UPSCALER = "unet", "decoder", "upscaler"
_EXAMPLE_ROWS = 2
_NOISE = re.compile(r"aten::(rand|normal|uniform|bernoulli|exponential|multinomial|poisson)")
"""What torch calls that draws random numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One network of a model: what it is made from, and the shapes of what it is given."""

    kind: str
    config: Mapping[str, Any]
    """Its class of diffusers, and its configuration; of an upscaler its architecture, and its `file`."""
    given: Sequence[Sequence[int] | None]
    """The shape of one row of each input, None for those that it has not; in the order of `Rows`, for a decoder latents alone,
    for an upscaler a tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that the process is told, as JSON."""

    folder: str
    """What it is to make. Beside it, under the name that only this parent uses, lie the weights, one file a part; an
    upscaler's lie in its own file."""
    partial: str
    parts: Mapping[str, Part]


def convert_apart(order: Order) -> None:
    """Has a process of its own make `order.folder`. Raises RuntimeError that says why it could not."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "engine.openvino.convert", str(os.getpid())],
            input=json.dumps(asdict(order)),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    finally:  # it may have been killed
        files.drop(Path(order.partial))
    if done.returncode == _KILLED:
        raise RuntimeError(ENDED)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])


# ------------------------------------------------------------------ in the process


def main() -> int:
    """Returns the exit code; the last line on stderr says what went wrong."""
    _stand_back()
    _leave_with(int(sys.argv[1]))
    told = json.load(sys.stdin)
    parts = {name: Part(**part) for name, part in told.pop("parts").items()}
    order = Order(**told, parts=parts)
    try:
        _convert(order)
    except Exception as error:  # noqa: BLE001 - whatever a converter says, its first line is told
        print(f"{type(error).__name__}: {[*str(error).strip().splitlines(), ''][0]}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        files.drop(Path(order.partial))
    return 0


def _stand_back() -> None:
    """Others come first, on the cores and where memory is short."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _leave_with(parent: int) -> None:
    """Nobody would use what it makes; what it leaves is cleaned up. (Where a parent's id says nothing, it just comes to its end.)"""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        os.kill(os.getpid(), signal.SIGKILL)

    if os.name == "posix":
        threading.Thread(target=watch, daemon=True).start()


def _convert(order: Order) -> None:
    import torch

    torch.set_num_threads(1)
    partial = Path(order.partial)
    for name, part in order.parts.items():
        weights = partial / f"{name}.safetensors"
        module = _upscaler(part) if name == UPSCALER else _module(name, part, weights)
        weights.unlink(missing_ok=True)
        rows = 1 if name == UPSCALER else None
        with torch.no_grad():
            _write(module, part, partial / f"{name}.xml", rows=rows)
    partial.replace(order.folder)


def _upscaler(part: Part) -> torch.nn.Module:
    from engine import upscaler_file
    from engine.openvino.traced import Upscaler

    network = upscaler_file.built(Path(part.config["file"]))
    network.model.float().eval().requires_grad_(requires_grad=False)
    return Upscaler(network)


def _module(name: str, part: Part, weights: Path) -> torch.nn.Module:
    """The network with its weights in float32, as a module whose inputs are those that it has."""
    import torch
    from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

    kind: Any = getattr(import_module("diffusers"), part.kind)
    with torch.device("meta"):
        network = kind.from_config(dict(part.config))
    if name == DECODER:
        network.encoder = network.quant_conv = torch.nn.Identity()
    found = {key: tensor.float() for key, tensor in load_file(weights).items()}
    missing, _ = network.load_state_dict(found, strict=False, assign=True)
    if missing:
        raise RuntimeError(f"{len(missing)} of its weights are missing, {missing[0]} among them")
    network = network.eval().requires_grad_(requires_grad=False)
    from engine.openvino.traced import Decoder, Unet

    return Decoder(network) if name == DECODER else Unet(network, [shape is not None for shape in part.given])


def _write(module: torch.nn.Module, part: Part, file: Path, *, rows: int | None = None) -> None:
    """One network as OpenVINO's two files; so many rows or any number, and sides and lengths of any size."""
    import torch

    from engine.openvino.networks import package

    ov, decoders = package(), import_module("openvino.frontend.pytorch.ts_decoder")
    frontend = import_module("openvino.frontend").FrontEndManager().load_by_framework("pytorch")
    shapes = [shape for shape in part.given if shape is not None]
    example = tuple(torch.ones(rows or _EXAMPLE_ROWS, *shape) for shape in shapes)
    with warnings.catch_warnings(action="ignore"):  # torch says that it will not trace for ever
        traced = decoders.TorchScriptPythonDecoder(
            module, example_input=example, trace_kwargs={"check_trace": False}
        )
    if _NOISE.search(str(traced.graph_element)):
        raise RuntimeError("it draws noise of its own")
    model = frontend.convert(frontend.load(traced))
    for place, shape in zip(model.inputs, shapes, strict=True):
        place.get_node().set_partial_shape(ov.PartialShape([rows or -1, *_any(shape)]))
    model.validate_nodes_and_infer_types()
    ov.save_model(model, str(file), compress_to_fp16=False)  # it would halve what times are told by, too


def _any(shape: Sequence[int]) -> list[int]:
    """Latents and tiles may have any sides, embeddings any number of tokens."""
    free = {3: (1, 2), 2: (0,)}.get(len(shape), ())
    return [-1 if place in free else size for place, size in enumerate(shape)]


if __name__ == "__main__":
    sys.exit(main())
