#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pins one running instance through the REST API and shows where it ran before and after.

Needs nothing but Python; tools/quickstart.sh starts what it talks to.
"""

import argparse
import itertools
import json
import pathlib
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

HEADERS = {"OpenStack-API-Version": "resource_pin 1.1", "Content-Type": "application/json"}
CURL = "curl -H 'OpenStack-API-Version: resource_pin 1.1'"
PATIENCE_SECONDS = 60.0
MEMORY = "memory (NUMA node)"

#: What runs where: a part of the instance, and the CPUs (or NUMA nodes) that it may use.
Places = dict[str, str]


class DemoError(Exception):
    """The demonstration cannot go on."""


class Api:
    """The few calls that the demonstration needs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the decoded answer."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=HEADERS,
        )
        # A proxy of the environment has no business between us and a loopback address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise DemoError(f"{method} {path}: {error.code} {error.read().decode()}") from error


def main() -> int:
    """Run the demonstration; 0 if the instance ended where it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", required=True, metavar="URL")
    parser.add_argument("--instance", metavar="UUID", help="default: a simulated one")
    parser.add_argument(
        "--proc", action="store_true", help="look into /proc of this machine, not at the API"
    )
    args = parser.parse_args()
    try:
        demonstrate(Api(args.api), args.instance, args.proc)
    except (DemoError, OSError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def demonstrate(api: Api, uuid: str | None, proc: bool) -> None:
    """Show, pin, wait, show, compare."""
    instance = wait_for("a running instance to be reported", lambda: find(api, uuid))
    uuid = instance["uuid"]
    instances = api.call("GET", "/v1/instances")["instances"]
    hosts = api.call("GET", "/v1/hosts")["hosts"]
    host = next(host for host in hosts if host["name"] == instance["host"])
    wish = choose(instance, instances, host)

    def places() -> Places:
        told = named((find(api, uuid) or {}).get("observed", {}))
        if not proc:
            return told
        # What the kernel says of threads counts more; it has no such word for the memory.
        return threads_of(uuid) | {part: told[part] for part in told if part == MEMORY}

    print(f"\nInstance {instance['name']} ({uuid}) on host {host['name']}, before:")
    show(places())

    print(f"\nPOST {api.url}/v1/pins\n{json.dumps(wish, indent=2)}")
    started = time.monotonic()
    api.call("POST", "/v1/pins", wish)
    wait_for("the pin to be applied", lambda: is_applied(api, uuid))
    seconds = time.monotonic() - started
    # The report with what was observed may follow the one that says "applied".
    wanted = named(wish)
    try:
        wait_for("the placement to equal the wish", lambda: not differences(wanted, places()), 5)
    except DemoError as error:
        raise DemoError(f"{error}; wrong: {', '.join(differences(wanted, places()))}") from error

    print(f"\nThe pin is applied after {seconds:.2f} s. The instance now:")
    show(places())
    print("\nEvery part is where the pin wants it. To go on:")
    openstack = f".venv/bin/openstack --os-auth-type none --os-endpoint {api.url}/v1"
    print(f"  {openstack} resource pin list")
    print(f"  {openstack} resource pin host map {host['name']}")
    print(f"  {CURL} -s {api.url}/v1/instances | python3 -m json.tool")
    print(f"  {CURL} -s {api.url}/v1/pins/{uuid} | python3 -m json.tool")
    print(f"  {CURL} -i -X DELETE {api.url}/v1/pins/{uuid}")


def wait_for(what: str, attempt: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Return the first true result of ``attempt``."""
    end = time.monotonic() + seconds
    while not (result := attempt()):
        if time.monotonic() > end:
            raise DemoError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.05)
    return result


def find(api: Api, uuid: str | None) -> dict[str, Any] | None:
    """Return the instance with this UUID, or the first that Nova left unpinned."""
    for instance in sorted(api.call("GET", "/v1/instances")["instances"], key=by_name):
        if instance["observed"] and (
            instance["uuid"] == uuid or (uuid is None and not has_own_cpus(instance))
        ):
            return instance
    return None


def by_name(instance: Mapping[str, Any]) -> tuple[bool, str]:
    """Sort the instances that have most to show first."""
    return (not instance["iothreads"], instance["name"])


def has_own_cpus(instance: Mapping[str, Any]) -> bool:
    """Say whether the vCPUs run elsewhere than the rest of the instance."""
    seen = instance["observed"] or {}  # nothing, unless it runs
    return any(cpus != seen.get("emulator") for cpus in seen.get("vcpus", {}).values())


def choose(
    instance: Mapping[str, Any], instances: list[dict[str, Any]], host: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a pin that gives each part of the instance one CPU, all on one NUMA node.

    On a host with fewer CPUs than parts they take turns, and cannot be dedicated.
    """
    taken = set(members(host["cpus"]["offline"]))
    for other in instances:
        if other["host"] == host["name"] and has_own_cpus(other):
            for cpus in other["observed"]["vcpus"].values():
                taken.update(members(cpus))
    nodes = [
        (node, [cpu for cpu in members(node["cpus"]) if cpu not in taken])
        for node in host["numa_nodes"]
    ]
    node, cpus = max(nodes, key=lambda pair: len(pair[1]))
    if not cpus:
        raise DemoError(f"host {host['name']} has no CPU left")
    parts = 1 + len(instance["iothreads"]) + instance["vcpus"]
    turns = itertools.cycle(str(cpu) for cpu in cpus)
    pin: dict[str, Any] = {
        "instance_uuid": instance["uuid"],
        "cpu_policy": "dedicated" if parts <= len(cpus) else "shared",
        "emulator": next(turns),
        "iothreads": {number: next(turns) for number in instance["iothreads"]},
        "vcpus": {str(number): next(turns) for number in range(instance["vcpus"])},
    }
    if len(nodes) > 1:
        pin["memory"] = {"nodes": str(node["id"])}
    return pin


def is_applied(api: Api, uuid: str) -> bool:
    """Say whether the pin is in force; raise if it never will be."""
    pin = api.call("GET", f"/v1/pins/{uuid}")
    if pin["status"] == "failed":
        raise DemoError(f"the pin failed: {pin['reason']}")
    return bool(pin["status"] == "applied")


def named(placement: Mapping[str, Any]) -> Places:
    """Return the places in a pin, or in what the API observed, by names for a table."""
    places = {f"vCPU {number}": cpus for number, cpus in placement.get("vcpus", {}).items()}
    if "emulator" in placement:
        places["emulator"] = placement["emulator"]
    for number, cpus in placement.get("iothreads", {}).items():
        places[f"I/O thread {number}"] = cpus
    if "memory" in placement:
        places[MEMORY] = placement["memory"]["nodes"]
    return places


def threads_of(uuid: str) -> Places:
    """Return what the kernel says of each thread of the QEMU process of an instance."""
    process = qemu_process(uuid)
    places = {}
    for task in sorted((process / "task").iterdir(), key=lambda path: int(path.name)):
        try:
            name = (task / "comm").read_text().strip()
            status = (task / "status").read_text()
        except OSError:
            continue  # a helper that has just ended
        if vcpu := re.match(r"CPU (\d+)/", name):
            part = f"vCPU {vcpu[1]}"
        elif iothread := re.match(r"IO iothread(\d+)", name):
            part = f"I/O thread {iothread[1]}"
        elif task.name == process.name:
            part = "emulator"
        else:
            part = f"emulator, {name} {task.name}"
        places[part] = status.split("Cpus_allowed_list:")[1].split()[0]
    return places


def qemu_process(uuid: str) -> pathlib.Path:
    """Return the /proc directory of the QEMU process of an instance."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if b"-uuid" in arguments and uuid.encode() in arguments:
            return process
    raise DemoError(f"no QEMU process of instance {uuid}")


def differences(wanted: Places, seen: Places) -> list[str]:
    """Return the parts that are not where they should be."""
    wrong = [
        part
        for part, place in seen.items()
        if (wish := wanted.get(part.split(",")[0])) and members(place) != members(wish)
    ]
    return wrong + [part for part in wanted if part not in seen]


def members(cpus: str) -> list[int]:
    """Return the numbers in a list such as ``0-3,8``."""
    numbers: list[int] = []
    for part in filter(None, cpus.split(",")):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def show(places: Places) -> None:
    """Print a table."""
    for part, place in places.items():
        print(f"  {part:<34}{place}")


if __name__ == "__main__":
    sys.exit(main())
