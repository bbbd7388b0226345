"""Takes from this process what root may do and others may not; imports nothing of ours."""

from __future__ import annotations

import ctypes
import os

PASSING_BY = (1, 2, 3)
"""CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER."""
_CAPBSET_DROP = 24
_VERSION_3 = 0x20080522


def without_rights() -> None:
    """Root, as in a container, without the right to pass by the files' own; what it executes has it no more either."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    rights = (
        ctypes.c_uint32 * 6
    )()  # of the first 32 rights: in effect, permitted, inheritable; then of the others
    if libc.capget(header, rights) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for right in PASSING_BY:
        libc.prctl(_CAPBSET_DROP, right, 0, 0, 0)
        for kind in range(3):
            rights[kind] &= ~(1 << right)
    libc.capset(header, rights)
