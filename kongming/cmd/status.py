# SPDX-License-Identifier: Apache-2.0
"""kongming-status: whether an upgrade can go on, to be asked before services are restarted."""

import itertools
import re
from collections.abc import Mapping

import oslo_messaging
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_policy import opts as policy_opts
from oslo_policy import policy
from oslo_upgradecheck import upgradecheck
from oslo_upgradecheck.upgradecheck import Code, Result

from kongming import exception, policies, rpc, service
from kongming.conductor.rpcapi import ConductorAPI
from kongming.context import service_context
from kongming.db import engine, hosts, migrations
from kongming.objects.host import is_down

#: What a conductor may take to answer.
_PING_SECONDS = 5.0
#: Names of hosts that are told; the rest is counted.
_MOST_NAMES = 10


def main() -> int:
    """Carry out ``upgrade check``; 0: all is well, 1: warnings, 2: it must not go on."""
    upgradecheck.register_cli_options(cfg.CONF, Checks())
    # it is there where its own main(), which knows none of our options, has read the files
    upgradecheck.CONF = service.prepare("kongming-status", prints=True)
    return int(upgradecheck.run(upgradecheck.CONF))


class Checks(upgradecheck.UpgradeCommands):
    """The checks, which change nothing."""

    def _schema(self) -> Result:
        try:
            version = migrations.version()
        except (db_exception.DBError, db_exception.CantStartEngineError) as error:
            return Result(Code.FAILURE, f"The database cannot be read: {_brief(error)}")
        known = migrations.revisions()
        if version is not None and version not in known:
            return Result(
                Code.FAILURE,
                f"The schema is at revision {version}, which this release does not know: it is of a"
                " newer one, or of something else.",
            )
        if version != known[0]:
            return Result(
                Code.WARNING,
                f"The schema is at revision {version}; {known[0]} is needed. Run kongming-dbsync"
                " upgrade before you start the new services.",
            )
        return Result(Code.SUCCESS)

    def _policy(self) -> Result:
        policy_opts.set_defaults(cfg.CONF)
        enforcer = policy.Enforcer(cfg.CONF)
        enforcer.suppress_deprecation_warnings = True
        enforcer.register_defaults(policies.list_rules())
        try:
            enforcer.load_rules(force_reload=True)
            enforcer.check_rules(raise_on_violation=True)
        except (ValueError, AttributeError, TypeError) as error:
            return Result(Code.FAILURE, f"The policy file cannot be read: {error}")
        except policy.InvalidDefinitionError as error:
            return Result(Code.FAILURE, f"The policy file: {error}")
        texts = {name: rule.check_str for name, rule in enforcer.file_rules.items()}
        if denied := sorted(
            name
            for name, text in texts.items()
            if str(enforcer.rules[name]) == "!" and text.strip() != "!"
        ):
            return Result(
                Code.FAILURE,
                f"Rules that are not understood deny everybody: {', '.join(denied)}.",
            )
        if unknown := _unknown(texts):
            return Result(
                Code.WARNING,
                f"The policy file has rules that nothing asks: {', '.join(unknown)}. Compare the"
                " names with oslopolicy-sample-generator --namespace kongming.",
            )
        return Result(Code.SUCCESS)

    def _conductors(self) -> Result:
        try:
            connection = rpc.transport(cfg.CONF)
            try:
                ConductorAPI(connection).ping(service_context(), _PING_SECONDS)
            finally:
                rpc.disconnect(connection)
        except (exception.ControlPlaneUnavailable, oslo_messaging.MessagingException) as error:
            return Result(
                Code.WARNING,
                f"{error} Restart conductors before the API and the agents.",
            )
        return Result(Code.SUCCESS)

    def _hosts(self) -> Result:
        try:
            if migrations.version() is None:
                return Result(Code.SUCCESS, "There is no schema yet, and so no host.")
            with engine.reader() as session:
                beats = hosts.beats(session, None)
        except (db_exception.DBError, db_exception.CantStartEngineError) as error:
            return Result(Code.FAILURE, f"The hosts cannot be read: {_brief(error)}")
        down = sorted(
            name for name, beat in beats.items() if is_down(beat.reported_at, beat.report_interval)
        )
        if down:
            names = ", ".join(down[:_MOST_NAMES])
            more = f" and {len(down) - _MOST_NAMES} more" if len(down) > _MOST_NAMES else ""
            return Result(
                Code.WARNING,
                f"{len(down)} of {len(beats)} hosts are down: {names}{more}. Nobody repairs what"
                " is placed there; look at their kongming-agent.",
            )
        return Result(Code.SUCCESS)

    _upgrade_checks = (
        ("Database schema", _schema),
        ("Policy file", _policy),
        ("Conductors", _conductors),
        ("Hosts", _hosts),
    )


def _brief(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _unknown(texts: Mapping[str, str]) -> list[str]:
    """Return the names of rules that no code asks and no other rule refers to."""
    rules = policies.list_rules()
    known = {rule.name for rule in rules}
    known |= {rule.deprecated_rule.name for rule in rules if rule.deprecated_rule}
    every_text = itertools.chain(texts.values(), (rule.check_str for rule in rules))
    referred = {name for text in every_text for name in re.findall(r"rule:([^\s()]+)", text)}
    return sorted(set(texts) - known - referred)
