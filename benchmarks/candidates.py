#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time ``POST /v1/candidates`` beside nova's NUMATopologyFilter for the same hosts.

KongMing answers as in production: a client asks over HTTP on loopback, naming every host, and a
kongming-api with two worker processes reads from a MariaDB; its time is from the question as
Python objects to the answer as Python objects. Nova's filter is called in process, over states of
hosts that are in memory. Both get the same request, for 16 dedicated pCPUs on one NUMA node, and
must find the same hosts.

The first request after a start of the API loads all hosts; it is told apart from the median of
those that follow. Nova is timed right before. What the API's processes themselves computed
(``CPU µs/host``) tells whether the cost is linear even where others use the machine. Nova lives in
a virtual environment of its own (``--nova-venv``), which is made if need be.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import platform
import random
import statistics
import sys
import time
import uuid
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
# for the programs that are started, too
os.environ["PYTHONPATH"] = str(ROOT)

import fixtures  # noqa: E402
import nova_filter  # noqa: E402
import nova_oracle  # noqa: E402
import requests  # noqa: E402
import sqlalchemy as sa  # noqa: E402

from kongming import backend as backend  # noqa: E402
from kongming.db import engine, models  # noqa: E402
from kongming.tests import base  # noqa: E402
from kongming.tests.functional.fixtures import mariadb, server, services  # noqa: E402
from kongming.tests.unit.topology import nova_cases  # noqa: E402
from kongming.topology import cpuset  # noqa: E402
from kongming.topology.books import Holding  # noqa: E402
from kongming.topology.placement import MEMORY, Part, Placement  # noqa: E402
from kongming.topology.wish import Wish  # noqa: E402

NODES, THREADS = 2, 2
WISH = {"cpu_policy": "dedicated", "numa_nodes": 1}
SIZE = [16, 16384]
#: KiB: pages, free pages; 64 GiB on each node.
PAGES = {"4": [16777216, 16777216]}
CLIENTS = 8


def hosts(count: int, cores: int) -> dict[str, dict[str, Any]]:
    """Return hosts by name on which each core is in use with a probability of one third."""
    chance = random.Random(count)
    every = (1 << NODES * cores * THREADS) - 1
    found = {}
    for number in range(count):
        pinned = 0
        for core in range(NODES * cores):
            if chance.random() < 1 / 3:
                pinned |= 1 << core | 1 << NODES * cores + core
        found[f"compute-{number:05}.example.org"] = {
            "nodes": NODES,
            "cores": cores,
            "threads": THREADS,
            "dedicated": f"{every:x}",
            "shared": "0",
            "pinned": f"{pinned:x}",
            "pages": [PAGES] * NODES,
        }
    return found


def fill(cases: dict[str, dict[str, Any]]) -> None:
    """Replace what the database has by these hosts; on each NUMA node a pin holds what is used."""
    tables: dict[Any, list[dict[str, Any]]] = {models.Host: [], models.Pin: [], models.Claim: []}
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    for name, case in cases.items():
        topology = nova_cases.inventory(case).host
        tables[models.Host].append(
            {"name": name, "topology": topology, "generation": 1, "report_sequence": 1,
             "report_interval": 86400, "reported_at": now}
        )  # fmt: skip
        for node in topology.nodes:
            owner = str(uuid.uuid4())
            cpus = [1 << cpu for cpu in cpuset.members(node.cpus & int(case["pinned"], 16))]
            placement = Placement({Part("vcpu", at): cpu for at, cpu in enumerate(cpus)})
            placement[MEMORY] = 1 << node.id
            tables[models.Pin].append(
                {"instance_uuid": owner, "host": name, "wish": Wish(), "asked": {},
                 "placement": placement, "holding": Holding(sum(cpus), {node.id: {4: 8192}}),
                 "in_force": placement, "generation": 1, "status": "applied", "deleted": False}
            )  # fmt: skip
            tables[models.Claim] += [
                {"host": name, "pcpu": cpu.bit_length() - 1, "instance_uuid": owner} for cpu in cpus
            ]
    with engine.writer() as session:
        for table, rows in tables.items():
            session.execute(sa.delete(table))
            session.execute(sa.insert(table), rows)


class Client:
    """One user of the API, who keeps a connection."""

    def __init__(self, url: str, names: list[str]) -> None:
        self._session = requests.Session()
        self._url = f"{url}/v1/candidates"
        size = {"vcpus": SIZE[0], "memory_mib": SIZE[1]}
        self._question: Any = {"wish": WISH, "size": size, "hosts": names}

    def ask(self) -> tuple[float, dict[str, Any]]:
        """Return how many seconds the answer took, and the answer."""
        begun = time.perf_counter()
        answer = self._session.post(self._url, json=self._question, timeout=600)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return time.perf_counter() - begun, body


def together(url: str, names: list[str], each: int) -> float:
    """Return how many requests are answered in a second when several clients ask at once."""
    clients = [Client(url, names) for _ in range(CLIENTS)]
    for client in clients:
        client.ask()

    def work(client: Client) -> None:
        for _ in range(each):
            client.ask()

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        begun = time.perf_counter()
        list(pool.map(work, clients))
        return CLIENTS * each / (time.perf_counter() - begun)


def measure(
    options: argparse.Namespace, python: pathlib.Path, api: services.Program, url: str, count: int
) -> dict[str, Any]:
    """Return the figures for so many hosts.

    :raises SystemExit: nova and KongMing do not find the same hosts
    """
    cases = hosts(count, options.cores)
    names = list(cases)
    question = {"wish": WISH, "size": SIZE, "hosts": cases, "repeat": options.passes}
    nova = nova_filter.ask(python, question)
    api.stop()
    fill(cases)
    api.start()
    client = Client(url, names)
    cold, answer = client.ask()
    found = {candidate["host"] for candidate in answer["candidates"]}
    if found != set(nova["passed"]) or len(found) + len(answer["rejected"]) != count:
        raise SystemExit(f"nova and KongMing differ: {found ^ set(nova['passed'])}")
    used = api.cpu_seconds()
    warm = statistics.median(client.ask()[0] for _ in range(options.requests))
    used = (api.cpu_seconds() - used) / options.requests
    filtered = statistics.median(nova["seconds"])
    return {
        "hosts": count,
        "fits": len(found),
        "nova_ms": round(filtered * 1e3, 1),
        "kongming_first_ms": round(cold * 1e3, 1),
        "kongming_ms": round(warm * 1e3, 1),
        "nova_us_per_host": round(filtered / count * 1e6, 1),
        "kongming_us_per_host": round(warm / count * 1e6, 1),
        "kongming_cpu_us_per_host": round(used / count * 1e6, 1),
        "ratio": round(filtered / warm, 1),
        "requests_per_second": round(together(url, names, max(2, 4000 // count)), 1),
    }


def main() -> None:
    """Print a table and JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--nova-venv", type=pathlib.Path, default=ROOT / "build/nova-venv")
    parser.add_argument("--cores", type=int, default=16, help="of each of the two NUMA nodes")
    parser.add_argument(
        "--hosts", type=int, nargs="+", default=[100, 1000, 3000, 10000], metavar="COUNT"
    )
    parser.add_argument("--passes", type=int, default=5, help="of nova over all hosts")
    parser.add_argument("--requests", type=int, default=15, help="to KongMing after the first")
    parser.add_argument("--json", type=pathlib.Path, help="write the numbers to this file, too")
    options = parser.parse_args()
    python = nova_oracle.python_of(options.nova_venv)
    with mariadb.MariaDB() as database, base.Configuration(), fixtures.TempDir() as directory:
        connection = database.create("kongming")
        port = server.free_port()
        conf = pathlib.Path(directory.path) / "kongming.conf"
        conf.write_text(
            # the question needs no broker
            "[DEFAULT]\ntransport_url = fake:/\n"
            f"[api]\nport = {port}\nauth_strategy = noauth\napi_workers = 2\n"
            f"[database]\nconnection = {connection}\n"
        )
        with base.Database(connection), services.Program("kongming-api", conf) as api:
            url = f"http://{server.LOOPBACK}:{port}"
            rows = [measure(options, python, api, url, count) for count in options.hosts]
    heads = ("hosts", "fits", "nova ms", "first ms", "median ms", "nova µs/host", "µs/host",
             "CPU µs/host", "ratio", f"{CLIENTS} clients/s")  # fmt: skip
    print(" ".join(f"{head:>12}" for head in heads))
    for row in rows:
        print(" ".join(f"{value:>12}" for value in row.values()))
    text = json.dumps(
        {"python": platform.python_version(), "cpus": os.cpu_count(),
         "cores_per_node": options.cores, "sizes": rows}, indent=1
    )  # fmt: skip
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
