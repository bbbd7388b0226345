"""What an engine without torch (`engine.fake`) is told: its pace and its faults. Standard library only.

Tests and chaos programs set them; nothing that people run does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSettings:
    """Timing knobs (seconds) and fault switches of the engine without torch (`engine.fake`).

    A prompt that contains one of the words below meets that fault; the numbers count from 1.
    """

    load_s: float = 0.0
    step_s: float = 0.0
    decode_s: float = 0.0
    slots: int = 4
    others: tuple[str, ...] = ()
    """Ids of further models, each of which takes load_s when somebody first wants it."""
    editing: tuple[str, ...] = ()
    """The same of models that edit up to three images by instruction, and start from none."""
    deadly: tuple[str, ...] = ()
    """Ids of models that kill the process while they are loaded."""
    frozen: tuple[str, ...] = ()
    """Ids of models whose loading never ends."""
    card: str = ""
    """What its fingerprint says of its card: with another one it draws, as it says, other pixels."""
    broken: str | None = None
    """If set, the engine reports Broken with this reason instead of getting ready."""
    load_freezes: bool = False
    """It loads for load_s and then says nothing more, for ever."""
    crash_at: str = ""
    """Name of the failpoint (`engine.contract.failpoints`) at which the first engine of a data folder dies by SIGKILL."""
    crash_word: str = "CRASH"
    """The process dies by SIGKILL at the first step of such a request."""
    hang_word: str = "HANG"
    """Such a request never takes another step, while others do; the process stays alive."""
    freeze_word: str = "FREEZE"
    """The whole engine stands still at the first step of such a request, as in a kernel that never ends."""
    sticky_word: str = "STICKY"
    """The first step of such a request meets an error that its device does not recover from."""
    memory_word: str = "OUTOFMEMORY"
    """There is never enough memory for such a request."""
    fail_word: str = "FAIL"
    """Such a request ends as Failed."""
    flag_word: str = "NSFW"
    """Such a request's images are flagged by the (pretended) safety checker."""
    flag_first_word: str = "RISQUE"
    """Of such a request's images only the first is flagged."""
