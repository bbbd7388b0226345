"""What `make` puts into .venv: pip's work, told in lines that people can follow. `python .ci/install.py EXTRAS` runs in it.

pip keeps what it has downloaded and goes on where a connection broke. The environment's own settings (proxies, mirrors)
stay in force; TORCH_INDEX and PIP_FLAGS are the Makefile's.
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8")))
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own builds for machines without NVIDIA's cards: a tenth of what PyPI's brings along."""
CARDS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")
"""Where Linux, and Windows beneath it, show such a card."""
PROBE_S = 5
LARGE_MB = 5
QUIET_S = 10
"""After so long without a line, what goes on is said again."""
UNREACHED = re.compile(
    "NameResolutionError|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|ProtocolError"
    "|Failed to resolve|[Nn]ame resolution|Network is unreachable|Connection (?:refused|aborted|broken|timed out)"
    "|Max retries exceeded|IncompleteDownload"
)
NO_NETWORK = (
    "Easel could not reach the package index: connect this machine to the network, or name your proxy (HTTPS_PROXY) or "
    "mirror (PIP_INDEX_URL), and run make again: what was downloaded is kept."
)


class Failed(Exception):
    """The text says what to do."""


class Told:
    """What pip does, as people are told it."""

    def __init__(self) -> None:
        self.downloaded = 0.0
        self._what, self._at = "looking up what is needed", time.monotonic()
        self._lines: list[str] = []

    def hear(self, line: str) -> None:
        """One of pip's lines."""
        if found := re.match(
            r"\s*(Downloading|Using cached) (\S+?)-(\d[^-]*)-?\S* \(([\d.]+) (MB|kB|GB)\)", line
        ):
            how, name, version, number, unit = found.groups()
            size = float(number) * {"kB": 1e-3, "MB": 1, "GB": 1e3}[unit]
            self.downloaded += size * (how == "Downloading")
            self._what = f"{name} {version}, {size:.0f} MB"
            if size >= LARGE_MB:
                self._say(self._what if how == "Downloading" else f"{self._what}, downloaded before")
        elif found := re.match(r"\s*Progress (\d+) of (\d+)", line):
            done, of = (int(number) / 1e6 for number in found.groups())
            if of >= LARGE_MB:
                self._what = f"{self._what.partition(',')[0]}, {done:.0f} of {of:.0f} MB"
                self.wait()
        elif found := re.match(r"Installing collected packages: (.+)", line):
            self._what = f"unpacking {found[1].count(',') + 1} packages"
            self._say(self._what)
        else:
            self._lines.append(line)

    def wait(self) -> None:
        """Called now and then: says what goes on when nothing was said for long."""
        if time.monotonic() - self._at >= QUIET_S:
            self._say(self._what)

    def _say(self, what: str) -> None:
        self._at = time.monotonic()
        print(f"  {what} …", flush=True)

    def why(self) -> str:
        """Why pip failed, its own words first where it is not the network."""
        if UNREACHED.search("\n".join(self._lines)):
            return NO_NETWORK
        last = "\n".join(self._lines[-12:])
        return f"{last}\nEasel could not install its packages: see pip's lines above, then run make again."


def pip(*words: str, told: Told) -> None:
    """`pip install` of that."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color"]
    flags = os.environ.get("PIP_FLAGS", "").split()
    # What is used is compiled when it is first imported, unless Python is told to keep nothing then.
    later = () if os.environ.get("PYTHONDONTWRITEBYTECODE") else ("--no-compile",)
    process = subprocess.Popen(
        [*command, *flags, "install", *later, *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (line := _next(lines)) is not None:
        told.hear(line) if line else told.wait()
    if process.wait() != 0:
        raise Failed(told.why())


def _next(lines: queue.SimpleQueue[str | None]) -> str | None:
    """Its next line, empty where it says nothing; None at the end."""
    with contextlib.suppress(queue.Empty):
        return lines.get(timeout=1)
    return ""


def torch_words() -> Iterator[str]:
    """How torch is installed before all else, where that is not from where everything comes from."""
    index = os.environ.get("TORCH_INDEX") or (CPU_INDEX if _is_for_cpu() and _answers(CPU_INDEX) else "")
    if index and _installed("torch") != PINS["torch"]:
        # Without its dependencies: such an index holds torch, but not our versions of everything torch needs.
        yield from ("--no-deps", "--index-url", index, f"torch=={PINS['torch']}")


def _is_for_cpu() -> bool:
    """Whether PyPI's torch would bring gigabytes that this machine has no use for."""
    return (
        sys.platform == "linux"
        and platform.machine() in ("x86_64", "aarch64")
        and _installed("torch") is None
        and not any(Path(path).exists() for path in CARDS)
    )


def _answers(index: str) -> bool:
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=PROBE_S):
            return True
    except OSError:
        return False


def _installed(name: str) -> str | None:
    """Its version, without what tells builds apart."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def install(extras: str) -> None:
    begin, told = time.monotonic(), Told()
    print(f"Installing Easel's packages into {sys.prefix}: some minutes the first time …", flush=True)
    if (
        _installed("pip") != PINS["pip"]
    ):  # older ones take minutes to choose versions, and lose broken downloads
        pip("--quiet", f"pip=={PINS['pip']}", told=told)
    bar = ("--progress-bar", "raw")
    if words := [*torch_words()]:
        pip(*bar, *words, told=told)
    pip(*bar, "-c", "constraints.txt", "-e", f".[{extras}]", told=told)
    # Without its dependencies: it asks for torchvision, whose build on PyPI does not load beside a CPU build of torch.
    pip(*bar, "--no-deps", "-c", "constraints.txt", "spandrel", told=told)
    size = sum(
        path.stat().st_size
        for path in Path(sys.prefix).rglob("*")
        if not path.is_symlink() and path.is_file()
    )
    print(
        f"Installed: {size / 1e6:,.0f} MB in {sys.prefix}, of {told.downloaded:,.0f} MB downloaded, "
        f"in {time.monotonic() - begin:.0f} s."
    )


if __name__ == "__main__":
    try:
        install(sys.argv[1])
    except Failed as failed:
        sys.exit(str(failed))
    except KeyboardInterrupt:
        sys.exit("Stopped: run make again to go on, what was downloaded is kept.")
