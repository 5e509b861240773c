# SPDX-License-Identifier: Apache-2.0
"""kongming-standalone: API, conductor and agents in one process, for trials."""

import argparse
import pathlib
import signal
import threading
from collections.abc import Mapping
from concurrent import futures

from oslo_config import cfg
from oslo_db import exception as db_exception

from kongming import guru, hypervisor, service
from kongming.agent.limits import LimitsError
from kongming.agent.manager import AgentManager
from kongming.api import server
from kongming.compute import notifications
from kongming.conductor.manager import ConductorManager
from kongming.db import migrations
from kongming.hypervisor import fleet, simulated
from kongming.hypervisor.driver import Driver, HypervisorError


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    arguments = _arguments()
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        conf = configure(arguments.state_dir, arguments.port, arguments.debug)
        agents = drivers(conf, arguments.fleet, arguments.libvirt_uri)
        parts = Parts(conf, agents)
    except (
        fleet.FleetError,
        HypervisorError,
        LimitsError,
        hypervisor.NoDriverError,
        server.ConfigurationError,
        notifications.ConfigurationError,
        db_exception.DBError,
        OSError,
    ) as error:
        service.fail("kongming-standalone", error)
    signal.signal(signal.SIGHUP, lambda *_: conf.mutate_config_files())
    guru.report_on_signal()
    parts.start()
    print(f"KongMing answers on {parts.url}", flush=True)
    # A signal that comes with another may reach another thread, and then ends no wait of this one.
    while not ending.wait(1):
        pass
    parts.stop()
    return 0


def configure(state_dir: str, port: int, debug: bool = False) -> cfg.ConfigOpts:
    """Return the configuration of an embedded KongMing that keeps its state in a directory.

    Options of any ``*.conf`` in that directory are honoured, but for the few that make it
    embedded.
    """
    pathlib.Path(state_dir).mkdir(parents=True, exist_ok=True)
    arguments = ["--config-dir", state_dir, *(["--debug"] if debug else [])]
    conf = service.prepare("kongming-standalone", arguments)
    conf.set_override("connection", f"sqlite:///{state_dir}/kongming.db", "database")
    conf.set_override("transport_url", "fake://")
    conf.set_override("auth_strategy", "noauth", "api")
    conf.set_override("host_ip", "127.0.0.1", "api")
    conf.set_override("port", port, "api")
    conf.set_override("state_dir", state_dir, "agent")
    # the agents of several hosts would be told apart by nothing
    conf.set_override("metrics_port", None, "agent")
    return conf


def drivers(
    conf: cfg.ConfigOpts, fleet_file: str | None, libvirt_uri: str | None
) -> dict[str, Driver]:
    """Return the driver of each host: those of a simulated fleet, or this machine's libvirt.

    :raises FleetError: the fleet file is unusable
    :raises HypervisorError: libvirt does not answer
    :raises NoDriverError: libvirt-python is not installed
    """
    if libvirt_uri is not None:
        conf.set_override("hypervisor", "libvirt", "agent")
        conf.set_override("uri", libvirt_uri, "libvirt")
        return {conf.host: hypervisor.load(conf)}
    world = simulated.Fleet(fleet.load(fleet_file))
    return {name: simulated.SimulatedDriver(world, name) for name in world.host_names}


class Parts:
    """All parts of an embedded KongMing."""

    def __init__(self, conf: cfg.ConfigOpts, agents: Mapping[str, Driver]) -> None:
        migrations.upgrade()
        self._api = server.Server(conf, server.listen(conf))
        self.url = self._api.url
        self._conductor = ConductorManager(conf)
        #: The agent of each host.
        self.agents = {host: AgentManager(conf, host, driver) for host, driver in agents.items()}

    def start(self) -> None:
        """Start each part, the API last."""
        self._conductor.start()
        for agent in self.agents.values():
            agent.start()
        self._api.start()

    def stop(self) -> None:
        """Stop each part, the API first."""
        self._api.stop()
        # each waits a little for its threads: together, not one after the other
        with futures.ThreadPoolExecutor(max_workers=64) as pool:
            list(pool.map(AgentManager.stop, self.agents.values()))
        self._conductor.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="All parts of KongMing in one process, on SQLite, without authentication."
    )
    hosts = parser.add_mutually_exclusive_group()
    hosts.add_argument("--fleet", metavar="FILE", help="YAML file describing simulated hosts")
    hosts.add_argument(
        "--libvirt-uri", metavar="URI", help="pin the real domains of this machine's libvirt"
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=9517,
        help="port on 127.0.0.1, 0 for one that is free (%(default)s)",
    )
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        default="/tmp/kongming",  # nosec B108 # for trials, and another can be chosen
        help="directory for database and placements, made if missing (%(default)s)",
    )
    parser.add_argument("--debug", action="store_true", help="log everything")
    return parser.parse_args()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"'{text}' is no port: 0 to 65535 are")
    return int(text)
