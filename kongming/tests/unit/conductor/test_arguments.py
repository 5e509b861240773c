# SPDX-License-Identifier: Apache-2.0

import datetime
import inspect
from typing import Any

import fixtures
import oslo_messaging

from kongming import clock, exception, objects, rpc
from kongming.conductor import arguments
from kongming.conductor.manager import ConductorManager
from kongming.conductor.rpcapi import ConductorAPI
from kongming.context import RequestContext
from kongming.tests import base
from kongming.tests.unit.conductor.base import TOPOLOGY, A, B
from kongming.tests.unit.conductor.test_manager import ManagerTestCase
from kongming.topology.answer import Size
from kongming.topology.wish import Wish

SIZE = {"vcpus": 2, "memory_mib": 64, "iothreads": [1]}
PIN: dict[str, Any] = {"instance_uuid": A, "project_id": "telco", "user_id": "mano"}
PIN |= {"asked": {"vcpus": {"*": "1"}}, "template_id": None, "template_role": None}
TEMPLATE: dict[str, Any] = {"name": "gold", "project_id": "telco", "user_id": "mano"}
TEMPLATE |= {"shared": False, "content": {"wish": {}}}
CALENDAR: dict[str, Any] = {
    **{"name": "nights", "project_id": "telco", "user_id": "mano", "all_projects": False},
    **{"cron": "0 22 * * *", "timezone": "UTC", "duration_s": 3600},
    **{"starts_at": None, "ends_at": None, "overlay": {"qos": {"vcpu_quota": 50000}}},
    **dict.fromkeys(("template_id", "template_role", "template_version")),
    **{"only_qos": False, "pins": [A], "following": None, "priority": 0},
    **{"metadata_key": None, "metadata_value": None, "on_collision": "skip", "enabled": True},
}
REPORT: dict[str, Any] = {"host": "one", "sequence": 1, "interval": 60, "full": True}
REPORT |= {"topology": TOPOLOGY, "instances": [], "gone": [B], "outcomes": []}
#: Characters of which none is for a name, an id or a word.
HOSTILE = (None, 1, True, "", "\n", "x\x00", "x" * 256, [A], {"x": 1}, rpc.Unreadable({}, "torn"))


class ArgumentsTest(base.BareTestCase):
    def refused(self, name: str, *values: Any) -> None:
        for value in values:
            error = self.assertRaises(exception.BadRequest, arguments.CHECKS[name], name, value)
            self.assertTrue(error.message)

    def accepted(self, name: str, *values: Any) -> None:
        for value in values:
            arguments.CHECKS[name](name, value)

    def test_ids(self) -> None:
        for name in ("instance_uuid", "template_id", "rollout_id", "calendar_id"):
            self.accepted(name, A)
            self.refused(name, "x", A.upper(), f"{{{A}}}", "'; --", *HOSTILE)
        for name in ("project_id", "host"):
            self.accepted(name, "telco", "世界")
            self.refused(name, *HOSTILE)
        self.accepted("role", "db")
        self.refused("role", "-", A, "a/b", *HOSTILE)

    def test_numbers_and_flags(self) -> None:
        for name, good, bad in (
            ("batch_size", 1000, (0, -1, 1001)),
            ("to_version", 1, (0, 2**31)),
            ("generation", 2**80, ()),
            ("base_version", -1, ()),
        ):
            self.accepted(name, good)
            self.refused(name, "1", 1.0, *bad, *(value for value in HOSTILE if value != 1), True)
        for name in ("wait", "shared"):
            self.accepted(name, False)
            self.refused(name, 0, *(value for value in HOSTILE if value is not True), 1)

    def test_size(self) -> None:
        self.assertEqual(Size(2, 64, (1,)), arguments.CHECKS["size"]("size", SIZE))
        for name, value in (
            ("vcpus", 0),
            ("vcpus", "2"),
            ("vcpus", True),
            ("memory_mib", -1),
            ("memory_mib", 2**80),
            ("iothreads", [0]),
            ("iothreads", 1),
        ):
            self.refused("size", SIZE | {name: value})
        self.refused("size", {}, None, [])

    def test_wish(self) -> None:
        self.accepted("wish", {"vcpus": {"*": "1"}}, {"thread_policy": "isolate"})
        self.refused("wish", {"vcpus": {"*": "x"}}, {"vcpus": 7}, {"memory": 7}, {"qos": []})
        self.refused("wish", *HOSTILE[:-2], {"numa_nodes": [[]]}, {"avoid": 7})

    def test_content(self) -> None:
        self.accepted("content", {"wish": {}}, {"roles": {"db": {"emulator": "1"}}})
        self.refused("content", {}, {"wish": {}, "roles": {}}, {"roles": {}}, {"colour": 1})
        self.refused("content", {"wish": {"vcpus": 7}}, {"wish": {"thread_policy": "isolate"}})
        self.refused("content", {"roles": {"d b": {}}}, {"roles": {A: {}}}, {"roles": {"db": None}})
        self.refused("content", {"roles": {f"r{n}": {} for n in range(65)}}, {"roles": [{}]})
        self.refused("content", *HOSTILE)

    def test_limits(self) -> None:
        self.accepted("limits", {"pins": -1})
        self.refused("limits", None, [], {"colour": 1}, {"pins": -2}, {"pins": "1"})

    def test_pin(self) -> None:
        following = {"asked": {"thread_policy": "isolate"}, "template_id": B}
        unowned = {"project_id": None, "user_id": None}
        good: list[dict[str, Any]] = [{}, unowned, following, following | {"template_role": "db"}]
        for change in good:
            self.accepted("pin", objects.Pin(**PIN | change))
        without = {name: value for name, value in PIN.items() if name != "asked"}
        self.accepted("pin", objects.Pin(**without, wish=Wish()))
        for name in ("instance_uuid", "project_id", "asked"):
            self.refused("pin", objects.Pin(**{k: v for k, v in PIN.items() if k != name}))
        bad: list[dict[str, Any]] = [
            {"asked": {"vcpus": 7}},
            {"asked": {"thread_policy": "isolate"}},
            {"asked": {"vcpus": 7}, "template_id": B},
            {"template_id": B, "template_role": "a/b"},
            {"project_id": "x" * 256},
            {"user_id": "x\n"},
        ]
        for change in bad:
            self.refused("pin", objects.Pin(**PIN | change))
        self.refused("pin", *HOSTILE, objects.Template(**TEMPLATE))

    def test_template(self) -> None:
        self.accepted("template", objects.Template(**TEMPLATE))
        for change in (
            {"name": "a/b"},
            {"name": A},
            {"project_id": ""},
            {"user_id": "x" * 256},
            {"content": {"wish": {"vcpus": 7}}},
        ):
            self.refused("template", objects.Template(**TEMPLATE | change))
        for name in TEMPLATE:
            some = {key: value for key, value in TEMPLATE.items() if key != name}
            self.refused("template", objects.Template(**some))
        self.refused("template", *HOSTILE, objects.Pin(**PIN))

    def test_calendar(self) -> None:
        now = clock.now().replace(microsecond=0)
        hour = datetime.timedelta(hours=1)
        once: dict[str, Any] = {
            "cron": None,
            "timezone": None,
            "duration_s": None,
            "starts_at": now,
        }
        once["ends_at"] = now + hour
        named: dict[str, Any] = {"template_id": B, "overlay": {}}
        which: dict[str, Any] = {"pins": [], "metadata_key": "tier", "metadata_value": ""}
        for change in ({}, once, named, named | {"following": B, "pins": []}, which):
            self.accepted("calendar", objects.Calendar(**CALENDAR | change))
        bad: list[dict[str, Any]] = [
            {"name": "x\n"},
            {"cron": "x"},
            {"cron": None},
            {"timezone": "Mars"},
            {"timezone": "../etc/passwd"},
            {"duration_s": 1},
            {"starts_at": now},
            once | {"ends_at": now},
            once | {"ends_at": now - hour, "starts_at": now - 2 * hour},
            {"overlay": {}},
            {"overlay": {"vcpus": {"*": "1"}}},
            {"overlay": {"qos": {"vcpu_quota": "x"}}},
            {"template_version": 0} | named,
            {"pins": []},
            {"pins": ["x"]},
            {"pins": [A, A]},
            {"pins": [f"{n:08}-1111-4111-8111-111111111111" for n in range(257)]},
            {"following": B},
            {"metadata_key": "tier"},
            which | {"metadata_value": None},
            which | {"metadata_key": "x" * 256},
            which | {"metadata_key": ""},
            {"priority": 1001},
        ]
        for change in bad:
            self.refused("calendar", objects.Calendar(**CALENDAR | change))
        self.refused("calendar", *HOSTILE, objects.Pin(**PIN))

    def test_report(self) -> None:
        self.accepted("report", objects.Report(**REPORT))
        self.accepted("report", objects.Report(**REPORT | {"full": False, "topology": None}))
        for change in (
            {"host": "x\n"},
            {"sequence": -1},
            {"sequence": 2**63},
            # from the highest that is taken its agent must be able to go on
            {"sequence": 2**63 - 1},
            {"interval": 0},
            {"gone": ["x"]},
            {"instances": [objects.Instance(uuid=A.upper())]},
            {"instances": [objects.Instance()]},
            {"outcomes": [objects.Outcome(instance_uuid=A.upper())]},
            {"moving": [objects.Moving(instance_uuid=A.upper())]},
        ):
            self.refused("report", objects.Report(**REPORT | change))
        self.refused("report", *HOSTILE)

    def test_refused_report_is_logged(self) -> None:
        log = self.useFixture(fixtures.FakeLogger())
        self.accepted("report", objects.Report(**REPORT))
        self.assertEqual("", log.output)
        wrong: list[Any] = [rpc.Unreadable({"host": "one"}, "torn"), rpc.Unreadable({}, "torn")]
        wrong += [objects.Report(**REPORT | {"host": "x\n"}), objects.Report(), None]
        self.refused("report", *wrong)
        starts = [line.partition(" is refused: ")[0] for line in log.output.splitlines()]
        hosts = ("'one'", "None", "'x\\n'", "None", "None")
        self.assertEqual([f"The report of host {host}" for host in hosts], starts)

    def test_reason_of_what_is_torn_is_told(self) -> None:
        torn = rpc.Unreadable({}, "no such field")
        error = self.assertRaises(exception.BadRequest, arguments.CHECKS["pin"], "pin", torn)
        self.assertEqual("pin: is none: no such field", error.message)


class CheckedTest(base.BareTestCase):
    def test_what_nobody_checks_is_an_error(self) -> None:
        def paint(self: Any, context: Any, instance_uuid: str, colour: str) -> None: ...

        error = self.assertRaises(TypeError, arguments.checked, paint)
        self.assertIn("paint: nobody checks colour", str(error))

    def test_none_is_for_what_may_be_none(self) -> None:
        class Endpoint:
            @arguments.checked
            def move(self, context: Any, instance_uuid: str, host: str | None = None) -> Any:
                return instance_uuid, host

        self.assertEqual((A, None), Endpoint().move(None, A))
        self.assertEqual((A, None), Endpoint().move(None, instance_uuid=A, host=None))
        self.assertRaises(exception.BadRequest, Endpoint().move, None, None)
        self.assertRaises(exception.BadRequest, Endpoint().move, None, A, "")
        error = self.assertRaises(exception.BadRequest, Endpoint().move, None, A, colour="red")
        self.assertIn("move: got an unexpected keyword argument 'colour'", error.message)


class ExposedTest(ManagerTestCase):
    def exposed(self) -> dict[str, list[str]]:
        """Return the names of arguments of each method that can be called over RPC."""
        endpoint = oslo_messaging.ExplicitRPCAccessPolicy()
        return {
            name: list(inspect.signature(method).parameters)[2:]
            for name, method in inspect.getmembers(ConductorManager, inspect.isfunction)
            if endpoint.is_allowed(self.manager, name)
        }

    def test_all_that_the_client_calls_is_there(self) -> None:
        called = {
            name
            for name, _ in inspect.getmembers(ConductorAPI, inspect.isfunction)
            if not name.startswith("_")
        }
        self.assertEqual(called, set(self.exposed()))

    def test_nonsense_is_refused_by_each_and_leaves_no_trace(self) -> None:
        before = self.database()
        for method, names in self.exposed().items():
            for name in names:
                nonsense = dict.fromkeys(names, rpc.Unreadable({}, "torn"))
                self.nonsense(method, nonsense)
                # whichever of them is looked at first
                self.nonsense(method, {name: nonsense.pop(name), **nonsense})
        self.assertEqual(before, self.database())

    def nonsense(self, method: str, given: dict[str, Any]) -> None:
        error = self.assertRaises(
            oslo_messaging.ExpectedException,
            getattr(self.manager, method),
            RequestContext(),
            **given,
        )
        self.assertIs(exception.BadRequest, error.exc_info[0], method)
