#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure what an agent costs at rest, with many pinned instances beside none.

The agent is kongming-agent as in production, with RabbitMQ, a conductor and MariaDB, but on a
simulated host of 256 pCPUs, whose instances are all pinned. At rest nothing changes: it reports,
compares every part with what it should be and looks at the usage in each interval (60 s), and
Prometheus scrapes it every 15 s. What libvirt and procfs would cost is not in the figures.

The figures are those of all its processes together: the time that they computed, and their memory
with pages that they share counted once (``Pss``) and twice (``Rss``).
"""

import argparse
import json
import os
import pathlib
import platform
import sys
import time
import uuid
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]
# for the programs that are started, too
os.environ["PYTHONPATH"] = str(ROOT)

import fixtures  # noqa: E402
import requests  # noqa: E402
import yaml  # noqa: E402

from kongming import backend as backend  # noqa: E402
from kongming.tests.base import eventually  # noqa: E402
from kongming.tests.functional.fixtures import mariadb, rabbitmq, server, services  # noqa: E402

SCRAPE_SECONDS = 15
#: What must hold with the most instances.
MOST_PERCENT, MOST_MIB = 5.0, 150.0
HOST = {
    "name": "compute",
    "nodes": 2,
    "cores_per_node": 64,
    "threads_per_core": 2,
    "memory_mib_per_node": 1 << 20,
}
CPUS = 256


def fleet(uuids: list[str]) -> dict[str, Any]:
    """Return the simulated host with these instances."""
    instances = [
        {"uuid": each, "name": f"vnf-{n}", "vcpus": 4, "memory_mib": 8192, "iothreads": 1}
        for n, each in enumerate(uuids)
    ]
    return {"hosts": [HOST | {"instances": instances}]}


def wish(number: int) -> dict[str, Any]:
    """Return a wish that places every part of one instance."""
    first = 4 * number % CPUS
    return {
        "vcpus": {str(vcpu): str(first + vcpu) for vcpu in range(4)},
        "emulator": f"{first}-{first + 3}",
        "iothreads": {"1": str(first)},
    }


def measure(
    count: int, broker: str, database: str, seconds: float, settle: float
) -> dict[str, Any]:
    """Return the figures of an agent with so many instances."""
    uuids = [str(uuid.UUID(int=n + 1)) for n in range(count)]
    with fixtures.TempDir() as directory:
        file = pathlib.Path(directory.path) / "fleet.yaml"
        file.write_text(yaml.safe_dump(fleet(uuids)))
        port = server.free_port()
        settings: dict[str, dict[str, Any]] = {
            "agent": {
                "hypervisor": "simulated",
                "update_resources_interval": 60,
                "metrics_port": port,
                "state_dir": directory.path,
            },
            "simulated": {"fleet": str(file)},
        }
        with services.ControlPlane(broker, database, "", settings) as kongming:
            eventually(lambda: hosts(kongming) == [count], 60)
            for number, each in enumerate(uuids):
                body = {"instance_uuid": each, **wish(number)}
                kongming.request("POST", "/v1/pins", json=body).raise_for_status()
            eventually(lambda: statuses(kongming) == ["applied"] * count, 120)
            time.sleep(settle)
            return {"instances": count} | figures(kongming.agent, port, seconds)


def figures(agent: services.Program, port: int, seconds: float) -> dict[str, Any]:
    """Return what an agent at rest costs in so many seconds."""
    begun, used = time.monotonic(), agent.cpu_seconds()
    size = 0
    while (left := begun + seconds - time.monotonic()) > 0:
        size = len(requests.get(f"http://{server.LOOPBACK}:{port}/metrics", timeout=30).content)
        time.sleep(min(left, SCRAPE_SECONDS))
    used = agent.cpu_seconds() - used
    memory = agent.memory_mib()
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_percent": round(100 * used / (time.monotonic() - begun), 2),
        "pss_mib": round(memory["Pss"], 1),
        "rss_mib": round(memory["Rss"], 1),
        "scrape_kib": round(size / 1024, 1),
    }


def hosts(kongming: services.ControlPlane) -> list[int]:
    """Return how many instances each host has reported."""
    answer = kongming.request("GET", "/v1/hosts").json()
    return [len(host["instances"]) for host in answer["hosts"]]


def statuses(kongming: services.ControlPlane) -> list[str]:
    """Return the status of each pin."""
    return [pin["status"] for pin in kongming.request("GET", "/v1/pins").json()["pins"]]


def main() -> None:
    """Print a table and JSON; fail if the most instances cost too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--instances", type=int, nargs="+", default=[0, 200], metavar="COUNT")
    parser.add_argument("--seconds", type=float, default=180, help="of rest that are measured")
    parser.add_argument(
        "--settle", type=float, default=75, help="seconds before that, for the first full report"
    )
    parser.add_argument("--json", type=pathlib.Path, help="write the numbers to this file, too")
    options = parser.parse_args()
    with rabbitmq.RabbitMQ() as broker, mariadb.MariaDB() as databases:
        rows = [
            measure(
                count,
                broker.transport_url,
                databases.create(f"kongming{at}"),
                options.seconds,
                options.settle,
            )
            for at, count in enumerate(options.instances)
        ]
    for row in rows:
        # one that rests for a moment may have computed nothing
        row["cpu_ratio"] = round(row["cpu_percent"] / (rows[0]["cpu_percent"] or 0.01), 1)
        row["memory_ratio"] = round(row["pss_mib"] / rows[0]["pss_mib"], 2)
    print(" ".join(f"{head:>12}" for head in rows[0]))
    for row in rows:
        print(" ".join(f"{value:>12}" for value in row.values()))
    text = json.dumps(
        {"python": platform.python_version(), "cpus": os.cpu_count(),
         "load": os.getloadavg(), "sizes": rows}, indent=1
    )  # fmt: skip
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    worst = rows[-1]
    if worst["cpu_percent"] >= MOST_PERCENT or worst["pss_mib"] >= MOST_MIB:
        sys.exit(f"more than {MOST_PERCENT} % of a core or {MOST_MIB} MiB")


if __name__ == "__main__":
    main()
