# SPDX-License-Identifier: Apache-2.0
"""kongming-agent: places the instances of this host."""

from kongming import hypervisor, service
from kongming.agent.limits import Limits, LimitsError
from kongming.agent.manager import AgentManager
from kongming.agent.standalone import DEFAULT_HANDLERS, StandaloneAgent
from kongming.agent.store import Store
from kongming.compute import notifications


def main() -> int:
    """Run until SIGTERM."""
    conf = service.prepare("kongming-agent")
    try:
        hypervisor.find(conf)
        if conf.agent.standalone:
            notifications.check(conf, DEFAULT_HANDLERS)
        # else each worker would fail in the same way, again and again
        Limits.from_conf(conf)
        Store(conf.agent.state_dir, conf.host)
    except (
        hypervisor.NoDriverError,
        notifications.ConfigurationError,
        LimitsError,
        OSError,
    ) as error:
        service.fail("kongming-agent", error)
    agent = StandaloneAgent if conf.agent.standalone else AgentManager
    return service.serve(conf, lambda: agent(conf, conf.host, hypervisor.load(conf)))
