# SPDX-License-Identifier: Apache-2.0
"""Hypervisors, behind one interface; drivers are entry points of ``kongming.hypervisor``."""

from typing import Any

from oslo_config import cfg
from stevedore import driver as stevedore_driver
from stevedore import exception

from kongming.hypervisor.driver import Driver


class NoDriverError(Exception):
    """There is no such driver, or it lacks something."""


def find(conf: cfg.ConfigOpts) -> Any:
    """Return the class of the driver that ``[agent] hypervisor`` names.

    :raises NoDriverError: there is none, or what it takes is not installed
    """
    name = conf.agent.hypervisor
    try:
        manager: Any = stevedore_driver.DriverManager(
            "kongming.hypervisor", name, warn_on_missing_entrypoint=False
        )
    except exception.NoMatches as error:
        raise NoDriverError(f"[agent] hypervisor: there is no driver '{name}'") from error
    except ImportError as error:
        text = f"[agent] hypervisor = {name} takes what is not installed: {error}"
        extra = "; pip install 'kongming[libvirt]'" if error.name == "libvirt" else ""
        raise NoDriverError(text + extra) from error
    return manager.driver


def load(conf: cfg.ConfigOpts) -> Driver:
    """Return the driver that ``[agent] hypervisor`` names, for the host ``[DEFAULT] host``.

    :raises NoDriverError: see `find`
    """
    driver: Driver = find(conf).from_conf(conf)
    return driver
