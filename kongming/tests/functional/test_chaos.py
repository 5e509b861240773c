# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to agent, libvirtd, broker and domains: in the end all is as it was wished."""

import collections
import contextlib
import os
import random
import subprocess
import time
from collections.abc import Callable
from typing import ClassVar

import libvirt
from testtools.content import text_content

from kongming.tests.functional.fixtures import cgroup
from kongming.tests.functional.fixtures.domain import Domain
from kongming.tests.functional.test_control_plane import FIRST, SECOND, ControlPlaneCase

ROUNDS = int(os.environ.get("KONGMING_TEST_CHAOS_ROUNDS", "25"))
SEED = int(os.environ.get("KONGMING_TEST_CHAOS_SEED", "1"))
#: Seconds after the last blow after which what is not in place never will be, and after which what
#: has not followed a new wish never will; on a busy machine the latter took 17. The figures tell.
HEALED, CHANGED = 180, 120
VCPUS = 2


class ChaosTest(ControlPlaneCase):
    settings: ClassVar = {
        "agent": {
            "update_resources_interval": 5,
            # here others shall not have the last word, however often they move things
            "fight_threshold": 100000,
        }
    }

    def make_domain(self) -> Domain:
        return Domain(self.host, vcpus=VCPUS, iothreads=1)

    def setUp(self) -> None:
        super().setUp()
        self.random = random.Random(SEED)
        self.blows: collections.Counter[str] = collections.Counter()
        self.domains = [self.domain, *(self.useFixture(self.make_domain()) for _ in range(5))]
        self.wished: dict[str, dict[str, str]] = {}
        for number, domain in enumerate(self.domains):
            self.eventually(
                lambda domain=domain: (  # type: ignore[misc]
                    self.kongming.request("GET", f"/v1/instances/{domain.uuid}").ok
                ),
                30,
            )
            self.wish(domain, number, "POST")
        self.eventually(self.in_place, HEALED)
        # what is away comes back after some rounds
        self.back: dict[str, tuple[int, Callable[[], None]]] = {}

    def wish(self, domain: Domain, number: int, method: str) -> None:
        """Wish for one of four patterns of places."""
        one, other = (str((FIRST, SECOND)[number >> bit & 1]) for bit in range(2))
        body = {"vcpus": {"0": one, "1": other}, "emulator": other, "iothreads": {"1": one}}
        path = "/v1/pins" if method == "POST" else f"/v1/pins/{domain.uuid}"
        more = {"instance_uuid": domain.uuid} if method == "POST" else {}
        self.eventually(lambda: self.kongming.request(method, path, json=body | more).ok, 30)
        self.wished[domain.uuid] = {
            "vcpu0": one,
            "vcpu1": other,
            "emulator": other,
            "iothread1": one,
        }

    def in_place(self) -> bool:
        """Whether every thread of every domain is where it was wished."""
        try:
            return all(domain.allowed() == self.wished[domain.uuid] for domain in self.domains)
        except (ProcessLookupError, FileNotFoundError):
            return False

    def test_all_is_as_wished_in_the_end(self) -> None:
        begin = time.monotonic()
        often = [self.move_by_virsh, self.move_by_kernel, self.restart, self.hard_reboot]
        rare = [self.kill_agent, self.restart_daemon]
        every = [*often, *rare, self.take_broker]
        blows = self.random.sample(every, len(every))
        weighted = [*often * 4, *rare * 2, self.take_broker]
        blows += self.random.choices(weighted, k=ROUNDS - len(blows))
        for number, blow in enumerate(blows):
            self.return_(number)
            self.blows[blow.__name__] += 1
            blow(number)
            time.sleep(self.random.random() / 4)
        self.return_(number=10 * ROUNDS)
        struck = time.monotonic()
        self.eventually(self.in_place, HEALED)
        healed = time.monotonic()
        self.eventually(self.all_applied, HEALED)
        told = time.monotonic()
        # a thread that hung would keep its instance for itself: then this one would not follow
        for number, domain in enumerate(self.domains):
            self.wish(domain, number + 1, "PUT")
        self.eventually(self.in_place, CHANGED)
        self.eventually(self.all_applied, CHANGED)
        figures = (
            f"{ROUNDS} rounds in {struck - begin:.0f} s, {dict(self.blows)}; in place after"
            f" {healed - struck:.1f} s, told after {told - struck:.1f} s; new wishes of all"
            f" {time.monotonic() - told:.1f} s; causes: {dict(self.causes())}"
        )
        self.addDetail("figures", text_content(figures))
        if path := os.environ.get("KONGMING_TEST_CHAOS_FIGURES"):
            with open(path, "a") as file:
                file.write(figures + "\n")

    def return_(self, number: int) -> None:
        """Bring back what is due."""
        for name in [name for name, (due, _) in self.back.items() if due <= number]:
            _, come_back = self.back.pop(name)
            come_back()

    def all_applied(self) -> bool:
        """Whether every pin says so."""
        pins = self.answer("GET", "/v1/pins", 200)["pins"]
        mine = [pin["status"] for pin in pins if pin["instance_uuid"] in self.wished]
        return mine == ["applied"] * len(self.domains)

    def causes(self) -> collections.Counter[str]:
        """Count what the histories tell."""
        found: collections.Counter[str] = collections.Counter()
        for domain in self.domains:
            history = self.answer("GET", f"/v1/pins/{domain.uuid}/history", 200)["history"]
            found.update(event["cause"] for event in history if event["event"] == "drifted")
        return found

    def move_by_virsh(self, number: int) -> None:
        """Pin a vCPU elsewhere, as somebody who does not know of pins."""
        uuid = self.random.choice(self.domains).uuid
        vcpu, cpus = self.random.randrange(VCPUS), self.random.choice((FIRST, SECOND))
        command = ["virsh", "-c", self.host.uri, "vcpupin", uuid, str(vcpu), str(cpus)]
        subprocess.run(command, check=True, capture_output=True)

    def move_by_kernel(self, number: int) -> None:
        """Let the threads of a part run elsewhere, without a word to libvirt."""
        threads = self.random.choice(self.domains).threads()
        for tid in threads[self.random.choice(sorted(threads))]:
            # workers come and go
            with contextlib.suppress(OSError):
                (cgroup.of_thread(tid) / "cpuset.cpus").write_text(f"{FIRST},{SECOND}")
                os.sched_setaffinity(tid, {self.random.choice((FIRST, SECOND))})

    def restart(self, number: int) -> None:
        """Start a domain anew from its definition."""
        domain = self.random.choice(self.domains).lookup()
        domain.destroy()
        domain.create()

    def hard_reboot(self, number: int) -> None:
        """Start a domain anew from a definition without pins."""
        domain = self.random.choice(self.domains)
        connection = self.host.connect()
        connection.lookupByUUIDString(domain.uuid).destroy()
        connection.defineXML(domain.xml).createWithFlags(
            self.random.choice((0, libvirt.VIR_DOMAIN_START_PAUSED))
        )

    def kill_agent(self, number: int) -> None:
        """Kill -9, for some rounds."""
        if "agent" not in self.back:
            self.kongming.agent.kill()
            self.back["agent"] = (number + self.random.randrange(4), self.kongming.agent.start)

    def take_broker(self, number: int) -> None:
        """Stop RabbitMQ, for some rounds."""
        if "broker" not in self.back:
            self.broker.stop()
            self.back["broker"] = (number + self.random.randrange(2, 9), self.broker.start)

    def restart_daemon(self, number: int) -> None:
        """Stop libvirtd, and start it again."""
        self.host.stop_daemon()
        time.sleep(self.random.random())
        self.host.start_daemon()
