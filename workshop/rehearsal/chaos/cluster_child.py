"""A Ray cluster in one process, all of its hosts on this machine: `python -m workshop.rehearsal.chaos.cluster_child ENGINES`.

Writes a line of JSON, its address and the process ids of the hosts' raylets, when it is ready and whenever one has come.
Reads the id of one that was killed, a line each, and has another come in its place. Ends where there is nothing to read.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

STORE_BYTES = 80 * 2**20
TRIES = 6
"""A host that does not come up within Ray's 30 s is tried again: a machine may be busy with other storms."""


def patiently(act: Callable[[], Any]) -> Any:
    for _ in range(TRIES - 1):
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - Ray raises no other kind
            print(error, file=sys.stderr)
    return act()


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this tells it when it is over
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    made: Any = import_module("ray.cluster_utils").Cluster
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = patiently(lambda: made(initialize_head=True, head_node_args=head))
    nodes: dict[int, Any] = {}

    def add() -> None:
        node = patiently(lambda: cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))
        nodes[node.all_processes["raylet"][0].process.pid] = node

    def tell() -> None:
        print(json.dumps({"address": cluster.address, "hosts": [*nodes]}), file=own, flush=True)

    for _ in range(int(sys.argv[1])):
        add()
    tell()
    for line in sys.stdin:
        if (lost := nodes.pop(int(line), None)) is not None:
            cluster.remove_node(lost, allow_graceful=False)
            add()
            tell()
    for pid in nodes:  # one that is stopped would not hear that it is over
        os.kill(pid, signal.SIGCONT)
    cluster.shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
