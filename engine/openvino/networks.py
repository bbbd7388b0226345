"""One converted network, compiled by OpenVINO for so many threads; knows tensors, no model's kind."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import BrokenModel

if TYPE_CHECKING:
    from torch import Tensor

_PACKAGE = "openvino"


def problem() -> str:
    """Why OpenVINO can't be used here, as a sentence; "" where it can."""
    import torch

    if platform.machine() in {"x86_64", "AMD64"} and torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        return "OpenVINO is left out: it needs a processor with AVX2, so pictures are drawn with torch."
    try:
        importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return "OpenVINO is not installed, so pictures are drawn with torch: “pip install openvino” makes that faster."
    return ""


@cache
def version() -> str:
    """Looked up in files, and told with every picture at every step."""
    return importlib.metadata.version(_PACKAGE)


def words(threads: int, rows: int | None = None) -> str:
    """What a fingerprint says of a picture computed with so many threads, up to so many rows at once where it has rows."""
    told = f"OpenVINO {version()}, {threads} thread{'s' if threads > 1 else ''}"
    return told if rows is None else f"{told}, {rows} rows"


def package() -> Any:
    """The package, without its telemetry. Raises BrokenModel where it can't be loaded."""
    if _PACKAGE not in sys.modules:
        # what imports it falls back to a stub that sends nothing
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module(_PACKAGE)
    except (ImportError, OSError) as error:
        raise BrokenModel(f"OpenVINO can't be loaded ({error})") from error


class Network:
    """What is computed on a processor with one row of threads, whoever calls; one call at a time."""

    def __init__(self, file: Path, *, threads: int, bfloat16: bool = False) -> None:
        """Raises what OpenVINO raises for files that are no good, and BrokenModel where it can't be loaded."""
        compiled = (
            package()
            .Core()
            .compile_model(
                str(file),
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": threads,
                    "NUM_STREAMS": 1,
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
                    "ENABLE_CPU_PINNING": False,  # cores are shared with others
                },
            )
        )
        self._request = compiled.create_infer_request()
        self.threads = threads

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Its one output, with the dtype of the first of these. Raises RuntimeError."""
        import torch

        given = {place: tensor.detach().contiguous().float().numpy() for place, tensor in enumerate(tensors)}
        found = self._request.infer(given, share_inputs=True, share_outputs=True)
        return torch.as_tensor(found[0]).clone().to(tensors[0].dtype)


class Scorer:
    """A network from an ONNX file that makes a few numbers of a picture, computed on the processor."""

    def __init__(self, file: Path, *, given: tuple[int, ...], made: tuple[int, ...]) -> None:
        """Raises BrokenModel for one of other shapes, and what OpenVINO raises for files that are no good."""
        core = package().Core()
        model = core.read_model(str(file))
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise BrokenModel("it takes or makes more than one thing")
        model.reshape([*given])
        shape = model.outputs[0].partial_shape
        if shape.is_dynamic or tuple(shape.to_shape()) != made:
            raise BrokenModel(f"it makes {shape} of a picture, and not {[*made]}")
        compiled = core.compile_model(
            model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        )
        self._request = compiled.create_infer_request()

    def __call__(self, picture: Any) -> Any:
        """Raises RuntimeError."""
        return self._request.infer([picture])[0].copy()
