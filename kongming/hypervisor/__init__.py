# SPDX-License-Identifier: Apache-2.0
"""Hypervisors, behind one interface; drivers are entry points of ``kongming.hypervisor``."""

from typing import Any

from oslo_config import cfg
from stevedore import driver as stevedore_driver

from kongming.hypervisor.driver import Driver


def load(conf: cfg.ConfigOpts) -> Driver:
    """Return the driver that ``[agent] hypervisor`` names, for the host ``[DEFAULT] host``.

    :raises stevedore.exception.NoMatches: there is no such driver
    """
    manager: Any = stevedore_driver.DriverManager("kongming.hypervisor", conf.agent.hypervisor)
    driver: Driver = manager.driver.from_conf(conf)
    return driver
