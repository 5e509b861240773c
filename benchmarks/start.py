#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time a start: from libvirt's event to the last thread in its place.

KongMing (API, conductor and agent, over RabbitMQ and SQLite) has the pin of one domain. The other
side is what anybody could do at least: a program that holds a connection open, hears the same
event, and calls libvirt once for each vCPU and once for the emulator. Each round starts a domain
that has lost its places, as after a hard reboot, for one side while the other is stopped (SIGSTOP),
and then the other way round. A third process hears the event, too, and asks the kernel until all
threads are where they shall be. The domains are real QEMU processes (TCG, started paused, so that
the guest takes no time from either side). Root only.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import queue
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import libvirt  # noqa: TID251

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from kongming.tests.functional.fixtures import libvirtd, process, rabbitmq, services  # noqa: E402
from kongming.tests.functional.fixtures.domain import Domain  # noqa: E402

STARTED = (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_STARTED)
#: The pCPU on which all threads shall be.
CPU = sorted(os.sched_getaffinity(0))[-1]


def hear(uri: str, uuid: str, act: Any) -> libvirt.virConnect:
    """Call ``act`` with the domain, in a thread, at each of its starts; return the connection."""
    libvirt.virEventRegisterDefaultImpl()
    connection = libvirt.open(uri)

    def called(_: Any, domain: libvirt.virDomain, event: int, *__: Any) -> None:
        if event == STARTED[1] and domain.UUIDString() == uuid:
            act(domain)

    connection.domainEventRegisterAny(None, STARTED[0], called, None)

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, daemon=True).start()
    return connection


def bare(uri: str, uuid: str, vcpus: int) -> None:
    """Make the calls that are needed, and nothing else, at each start."""
    cpus = tuple(cpu == CPU for cpu in range(os.cpu_count() or 1))

    started: queue.SimpleQueue[libvirt.virDomain] = queue.SimpleQueue()
    connection = hear(uri, uuid, started.put)
    print("ready", connection.getHostname(), flush=True)
    while True:
        domain = started.get()
        for number in range(vcpus):
            domain.pinVcpuFlags(number, cpus, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        domain.pinEmulator(cpus, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def watch(uri: str, uuid: str) -> None:
    """Print how many milliseconds pass after each start until all threads are in place."""

    def act(domain: libvirt.virDomain) -> None:
        begun = time.perf_counter()
        threads = [tid for tids in process.threads(process.find(uuid)).values() for tid in tids]
        while threads and time.perf_counter() - begun < 20:
            threads = [tid for tid in threads if not in_place(tid)]
            time.sleep(0.0002)
        passed = 1000 * (time.perf_counter() - begun)
        print("nan" if threads else passed, flush=True)

    connection = hear(uri, uuid, act)
    print("ready", connection.getHostname(), flush=True)
    threading.Event().wait()


def in_place(tid: int) -> bool:
    """Whether a thread is where it shall be; QEMU's short-lived workers are once they ended."""
    try:
        return os.sched_getaffinity(tid) == {CPU}
    except ProcessLookupError:
        return True


@contextlib.contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run this file as another process, which has said that it is ready."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline().startswith("ready")
            yield started
        finally:
            started.kill()


def begin_anew(domain: Domain) -> None:
    """Start a domain as Nova does for a hard reboot: from a definition without pins."""
    connection = domain.host.connect()
    connection.lookupByUUIDString(domain.uuid).destroy()
    time.sleep(1.0)
    connection.defineXML(domain.xml).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)


def compare(
    host: libvirtd.Libvirtd, kongming: services.ControlPlane, vcpus: int, rounds: int
) -> dict[str, Any]:
    """Return the times of both sides, in ms."""
    times: dict[str, list[float]] = {"bare": [], "kongming": []}
    agents = [int(process.name) for process in kongming.agent.processes()]
    with (
        Domain(host, vcpus=vcpus, iothreads=0) as ours,
        Domain(host, vcpus=vcpus, iothreads=0) as theirs,
    ):
        pin(kongming, ours)
        with (
            program("--bare", host.uri, theirs.uuid, str(vcpus)) as peer,
            program("--watch", host.uri, ours.uuid) as ours_seen,
            program("--watch", host.uri, theirs.uuid) as theirs_seen,
        ):
            for number in range(2 * rounds):
                turn = number % 2 == 0
                stopped = [peer.pid] if turn else agents
                domain, seen = (ours, ours_seen) if turn else (theirs, theirs_seen)
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)
                begin_anew(domain)
                assert seen.stdout is not None
                passed = float(seen.stdout.readline())
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
                times["kongming" if turn else "bare"].append(passed)
                time.sleep(0.5)
    medians = {side: statistics.median(values) for side, values in times.items()}
    return {
        "vcpus": vcpus,
        **{f"{side}_ms": round(median, 2) for side, median in medians.items()},
        "ratio": round(medians["kongming"] / medians["bare"], 2),
        "times": {side: [round(value, 2) for value in values] for side, values in times.items()},
    }


def pin(kongming: services.ControlPlane, domain: Domain) -> None:
    """Have a domain pinned by KongMing."""
    wish = {"vcpus": {"*": str(CPU)}, "emulator": str(CPU)}
    body = {"instance_uuid": domain.uuid, **wish}
    wait(lambda: kongming.request("POST", "/v1/pins", json=body).status_code == 201)
    path = f"/v1/pins/{domain.uuid}"
    wait(lambda: kongming.request("GET", path).json()["status"] == "applied")


def wait(done: Any, seconds: float = 60) -> None:
    """Return once ``done()`` is true."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.1)


def main() -> None:
    """Print a table and JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=20, help="of each side")
    parser.add_argument("--vcpus", type=int, nargs="+", default=[4, 64], metavar="COUNT")
    parser.add_argument("--json", type=pathlib.Path, help="write the numbers to this file, too")
    parser.add_argument("--bare", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--watch", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        uri, uuid, vcpus = options.bare
        bare(uri, uuid, int(vcpus))
    if options.watch:
        watch(*options.watch)
    with contextlib.ExitStack() as parts:
        broker = parts.enter_context(rabbitmq.RabbitMQ())
        host = parts.enter_context(libvirtd.Libvirtd())
        database = f"sqlite:///{host.directory}/kongming.db"
        kongming = parts.enter_context(
            services.ControlPlane(broker.transport_url, database, host.uri)
        )
        rows = [compare(host, kongming, vcpus, options.rounds) for vcpus in options.vcpus]
    print(f"{'vCPUs':>5} {'bare ms':>9} {'KongMing ms':>12} {'ratio':>6}")
    for row in rows:
        print(
            f"{row['vcpus']:5} {row['bare_ms']:9.2f} {row['kongming_ms']:12.2f} {row['ratio']:6.2f}"
        )
    load = [round(value, 2) for value in os.getloadavg()]
    text = json.dumps({"python": platform.python_version(), "load": load, "starts": rows})
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
