"""Compiles a UNet ahead of time: `python -m engine.ahead PARENT`, an `engine.compiling.Order` on stdin; a process of its own.

It knows the model's architecture and none of its weights but the few numbers that become part of the program. It works on
one core, behind everybody else, and leaves when its parent does.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NICE = 10
LOOK_EVERY_S = 1.0
_EXAMPLE_ROWS = 8
"""In the rows it is traced with; the program is for any number."""


def main() -> int:
    _leave_with(int(sys.argv[1]))
    if hasattr(os, "nice"):
        os.nice(NICE)
    values = json.load(sys.stdin)
    with tempfile.TemporaryDirectory(prefix="easel-compile-") as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        try:
            _compile(values)
        except Exception as error:  # noqa: BLE001 - whatever a compiler says, its first line is told
            print(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}", file=sys.stderr)  # noqa: T201
            return 1
    return 0


def _leave_with(parent: int) -> None:
    """Nobody would use what it makes. (Where a parent's id says nothing, it just comes to its end.)"""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        os._exit(1)

    if os.name == "posix":
        threading.Thread(target=watch, daemon=True).start()


def _compile(values: dict[str, Any]) -> None:
    import torch

    from engine.compiling import Order

    order = Order(**values)
    torch.set_num_threads(order.threads)
    inductor: Any = import_module("torch._inductor")
    unet, rows = _unet(order), max(3, order.rows)
    any_rows = torch.export.Dim("rows", min=2, max=rows)
    count, device = min(_EXAMPLE_ROWS, rows), order.device
    example = tuple(
        part and torch.zeros((count, *part[0]), dtype=getattr(torch, part[1]), device=device)
        for part in order.parts
    )
    partial = Path(order.file).with_suffix(f".{os.getpid()}.part.pt2")
    try:
        with torch.no_grad():
            dynamic = tuple(None if part is None else {0: any_rows} for part in example)
            program = torch.export.export(unet, example, dynamic_shapes=(dynamic,))
            inductor.aoti_compile_and_package(
                program,
                package_path=str(partial),
                inductor_configs={"aot_inductor.package_constants_in_so": False},
            )
        partial.replace(order.file)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _unet(order: Any) -> Any:
    """The architecture with weights of no meaning, but for the small ones, as a module that takes the parts of `Rows`."""
    import diffusers
    import torch

    from engine import compiling, tuning
    from engine.rows import Rows

    kind: Any = getattr(diffusers, order.kind)
    unet = kind.from_config(dict(order.config))
    unet.load_state_dict({name: torch.tensor(numbers) for name, numbers in order.small.items()}, strict=False)
    unet = unet.to(order.device, getattr(torch, order.dtype)).eval().requires_grad_(requires_grad=False)
    tuning.turn_on(SimpleNamespace(unet=unet), dict(order.switches))

    class Called(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unet = unet

        def forward(self, *every: Any) -> Any:
            return compiling.call(self.unet, Rows.of(every))

    return Called()


if __name__ == "__main__":
    sys.exit(main())
