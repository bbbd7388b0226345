"""What is asked of the machine on which trainings run: its clock and its memory. Knows no training."""

from __future__ import annotations

import time

import psutil

from bot.core.training.turns import Host


def this_host() -> Host:
    return Host(free_bytes=_free_bytes, hour=_hour)


def _free_bytes() -> int:
    return psutil.virtual_memory().available


def _hour() -> float:
    now = time.localtime()
    return now.tm_hour + now.tm_min / 60
