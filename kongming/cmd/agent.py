# SPDX-License-Identifier: Apache-2.0
"""kongming-agent: places the instances of this host."""

from kongming import hypervisor, service
from kongming.agent.manager import AgentManager
from kongming.agent.standalone import DEFAULT_HANDLERS, StandaloneAgent
from kongming.compute import notifications


def main() -> int:
    """Run until SIGTERM."""
    conf = service.prepare("kongming-agent")
    try:
        hypervisor.find(conf)
    except hypervisor.NoDriverError as error:
        service.fail("kongming-agent", error)
    if not conf.agent.standalone:
        return service.serve(conf, lambda: AgentManager(conf, conf.host, hypervisor.load(conf)))
    try:
        notifications.check(conf, DEFAULT_HANDLERS)
    except notifications.ConfigurationError as error:
        service.fail("kongming-agent", error)
    return service.serve(conf, lambda: StandaloneAgent(conf, conf.host, hypervisor.load(conf)))
