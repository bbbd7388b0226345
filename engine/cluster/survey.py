"""`python -m engine.cluster.survey JSON`: what `easel doctor` asks of a cluster, answered as JSON; starts nothing that stays.

JSON has the address, and the model and namespace of the bot that asks.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.cluster import link
from engine.cluster.edition import edition

ANSWERED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host of the cluster, as it tells itself."""

    name: str
    same_easel: bool
    cards: Sequence[str]
    has_model: bool
    clock_off_s: float
    """How far its clock is ahead of this one's."""


def look(model: str) -> tuple[str, str, list[str], bool, float]:
    """On a host: its name and Easel, its cards, whether a model that is a path lies there, and its time."""
    program, cards = shutil.which("nvidia-smi"), list[str]()
    if program is not None:
        told = subprocess.run(
            (program, "--query-gpu=name", "--format=csv,noheader"),
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
        )
        cards = told.stdout.splitlines() if told.returncode == 0 else []
    is_there = not Path(model).is_absolute() or Path(model).exists()
    return socket.gethostname(), edition(), cards, is_there, time.time()


def survey(address: str, model: str, namespace: str) -> dict[str, Any]:
    """What is wrong with the cluster as a whole, and else its hosts, cards and other bots."""
    try:
        ray = link.loaded_ray()
        problem = link.joined(ray, address, namespace)
    except link.Unfit as unfit:
        problem = str(unfit)
    else:
        if not problem:
            return {"problem": "", **_found(ray, model, namespace)}
    return {"problem": problem}


def _found(ray: Any, model: str, namespace: str) -> dict[str, Any]:
    hosts, silent = list[Host](), list[str]()
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked = time.time()
        answer = ray.remote(look).options(num_cpus=0, scheduling_strategy=place).remote(model)
        try:
            name, there, cards, has_model, clock = ray.get(answer, timeout=ANSWERED_WITHIN_S)
        except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError):
            silent.append(node["NodeManagerHostname"])
            continue
        off_s = clock - time.time() if clock > time.time() else min(0.0, clock - asked)
        same = there == edition()
        hosts.append(
            Host(name=name, same_easel=same, cards=cards, has_model=has_model, clock_off_s=round(off_s, 1))
        )
    others = {
        actor["namespace"]
        for actor in ray.util.list_named_actors(all_namespaces=True)
        if actor["namespace"].startswith("easel-") and actor["namespace"] != namespace
    }
    whole = ray.cluster_resources()
    return {
        "hosts": [asdict(host) for host in hosts],
        "silent": silent,
        "other_bots": len(others),
        "gpus": int(whole.get("GPU", 0)),
        "cpus": int(whole.get("CPU", 0)),
    }


def main() -> None:
    told = json.loads(sys.argv[1])
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    link.quietly()
    print(json.dumps(survey(**told)), file=own, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
