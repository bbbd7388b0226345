"""Compiles a UNet ahead of time: `python -m engine.unet.compiler PARENT`, an `engine.unet.compiled.Order` on stdin; a process of its own.

It knows the model's architecture and none of its weights but the few numbers that become part of the program: the others
are never written, and on a processor take no memory. It stands behind everybody else, and leaves when its parent does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.unet.compiled import Order

NICE = 10
LOOK_EVERY_S = 1.0
_EXAMPLE_ROWS = 8
"""In the rows it is traced with; the program is for any number."""


def main() -> int:
    """Returns the exit code; the last line on stderr says what went wrong."""
    folder = tempfile.mkdtemp(prefix="easel-compile-")
    _stand_back()
    _leave_with(int(sys.argv[1]), folder)
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1", TMPDIR=folder)
    try:
        _compile(json.load(sys.stdin))
    except Exception as error:  # noqa: BLE001 - whatever a compiler says, its first line is told
        print(f"{type(error).__name__}: {[*str(error).strip().splitlines(), ''][0]}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _stand_back() -> None:
    """Others come first, on the cores and where memory is short."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _leave_with(parent: int, folder: str) -> None:
    """Nobody would use what it makes. (Where a parent's id says nothing, it just comes to its end.)"""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        shutil.rmtree(folder, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)  # the C++ compiler as well

    if os.name == "posix":
        with suppress(OSError):  # it leads a group already
            os.setpgid(0, 0)
        threading.Thread(target=watch, daemon=True).start()


def _compile(values: dict[str, Any]) -> None:
    import torch

    from engine.unet import compiled_files
    from engine.unet.compiled import Order

    order = Order(**values)
    torch.set_num_threads(order.threads)  # of the program; it is made with one
    inductor: Any = import_module("torch._inductor")
    unet, rows = _unet(order), max(3, order.rows)
    any_rows = torch.export.Dim("rows", min=2, max=rows)
    count, device = min(_EXAMPLE_ROWS, rows), order.device
    example = tuple(
        part and torch.zeros((count, *part[0]), dtype=getattr(torch, part[1]), device=device)
        for part in order.parts
    )
    dynamic = tuple(None if part is None else {0: any_rows} for part in example)
    partial = compiled_files.partial_of(Path(order.file))
    try:
        with torch.no_grad():
            inductor.aoti_compile_and_package(
                torch.export.export(unet, example, dynamic_shapes=(dynamic,)),
                package_path=str(partial),
                inductor_configs={"aot_inductor.package_constants_in_so": False},
            )
        partial.replace(order.file)
    finally:
        compiled_files.drop(partial)


def _unet(order: Order) -> Any:
    """The architecture, with weights of no meaning but for the small ones, as a module that takes the parts of `Rows`."""
    import diffusers
    import torch

    from engine.unet import batch, switches

    kind: Any = getattr(diffusers, order.kind)
    with torch.device("meta"):
        unet = kind.from_config(dict(order.config))
    unet = unet.to(getattr(torch, order.dtype)).to_empty(device=order.device).eval()
    small = {name: torch.tensor(numbers) for name, numbers in order.small.items()}
    unet.load_state_dict(small, strict=False)
    unet.requires_grad_(requires_grad=False)
    switches.turn_on(SimpleNamespace(unet=unet), dict(order.switches))

    class Called(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unet = unet

        def forward(self, *every: Any) -> Any:
            return batch.forward(self.unet, batch.Rows.of(every))

    return Called()


if __name__ == "__main__":
    sys.exit(main())
