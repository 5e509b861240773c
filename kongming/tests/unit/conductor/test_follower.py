# SPDX-License-Identifier: Apache-2.0
import datetime
from typing import Any

import fixtures

from kongming import objects
from kongming.compute.events import News, What
from kongming.conductor import pins, reservations, steps, templates
from kongming.conductor.follower import Follower
from kongming.conductor.reservations import Target
from kongming.context import RequestContext
from kongming.db import calendars, engine, pin_events
from kongming.db import pins as db_pins
from kongming.db import reservations as db_reservations
from kongming.objects.asked import Asked
from kongming.tests import nova
from kongming.tests.unit.conductor.base import A, B, C, ConductorTestCase, D
from kongming.topology.answer import Size
from kongming.topology.wish import Wish

KEY = "kongming-vcpu-pinning"
ROOM = Target("one", Size(2, 512), 600)


class FollowerTestCase(ConductorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.told: list[str | None] = []
        self.configuration.set("exact_projects", ["telco"], "notifications")
        self.follower = Follower(self.conf, self.tell)
        self.report(full=True)

    def database(self) -> dict[str, list[Any]]:
        """Return all rows of all tables but of the one that just has what Nova told."""
        return {name: rows for name, rows in super().database().items() if "metadata" not in name}

    def known(self, uuid: str = A) -> dict[str, str]:
        """Return what is known of the metadata of a server."""
        with engine.reader() as session:
            return calendars.known_metadata(session, uuid)

    def tell(self, context: RequestContext, host: str | None) -> None:
        """Take down whose agent must hear."""
        self.told.append(host)

    def news(
        self,
        what: What,
        uuid: str = A,
        metadata: dict[str, str] | None = None,
        built: bool = False,
    ) -> None:
        """Let Nova tell something of a server of project telco."""
        self.follower.take(self.context, News(what, uuid, "telco", "mano", metadata, built))

    def ask_nova(self) -> None:
        """Configure the way to Nova's API."""
        self.api = self.useFixture(nova.NovaAPI())
        for name, value in self.api.options.items():
            self.configuration.set(name, value, "service_credentials")
        self.follower = Follower(self.conf, self.tell)

    def metadata(self, value: str | None, uuid: str = A, key: str = KEY) -> None:
        """Let Nova tell the metadata of a server."""
        others = {"role": "vnf"}
        self.news(What.METADATA, uuid, others if value is None else others | {key: value})


class MetadataTest(FollowerTestCase):
    def test_server_that_runs_is_pinned(self) -> None:
        self.run_instances(A)
        self.metadata("4-5")
        pin = self.row(A)
        self.assertEqual(
            (Wish(every_vcpu=0b11_0000), "one", "pending", "telco", "mano", "metadata"),
            (pin.wish, pin.host, pin.status, pin.project_id, pin.user_id, pin.origin),
        )
        self.assertEqual(["one"], self.told)

    def test_server_that_nobody_reports_yet_waits(self) -> None:
        self.metadata('{"cpu_policy": "dedicated"}')
        self.assertEqual(("waiting", None), self.status(A))
        self.run_instances(A)
        self.assertEqual(("pending", None), self.status(A))
        self.assertEqual({A: "0-1"}, self.claims())

    def test_the_same_again_changes_nothing(self) -> None:
        self.run_instances(A)
        self.metadata("4-5")
        before = self.database()
        for _ in range(3):
            self.metadata(" 4,5")
        self.assertEqual(before, self.database())
        self.assertEqual(["one"], self.told)

    def test_changed(self) -> None:
        self.run_instances(A)
        self.metadata("4-5")
        self.metadata("6")
        pin = self.row(A)
        self.assertEqual((64, 2, "metadata"), (pin.wish.every_vcpu, pin.generation, pin.origin))
        self.assertEqual(["created", "changed"], self.events(A))

    def test_removed(self) -> None:
        self.run_instances(A)
        self.metadata("4-5")
        self.confirm(A)
        self.metadata(None)
        self.assertTrue(self.row(A).deleted)
        self.assertEqual(["one", "one"], self.told)
        self.confirm(A)
        self.assertIsNone(self.row_or_none(A))

    def test_other_keys(self) -> None:
        self.run_instances(A)
        self.metadata("4-5", key="vcpus")
        self.assertIsNone(self.row_or_none(A))
        self.configuration.set("agent_trigger_metadata_key", "vcpus", "agent")
        self.follower = Follower(self.conf, self.tell)
        self.metadata("4-5", key="vcpus")
        self.assertEqual("pending", self.row(A).status)

    def test_what_nova_told_last_is_kept(self) -> None:
        self.metadata("4")
        self.assertEqual({"role": "vnf", KEY: "4"}, self.known())
        told = {"role": "db", "long": "x" * 256, "torn": "a\0b", "": "y"}
        self.news(What.METADATA, metadata=told)
        self.assertEqual({"role": "db", "": "y"}, self.known())
        self.news(What.DELETED)
        self.assertEqual({}, self.known())


class OriginTest(FollowerTestCase):
    def test_pin_of_somebody_else_stays(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        before = self.database()
        for value in ("5", "nonsense", None, "5", "5"):
            self.metadata(value)
        self.assertEqual(before, self.database())
        self.assertEqual(1, self.log.output.count("is ignored"))

    def test_whoever_changes_the_pin_takes_it_over(self) -> None:
        self.run_instances(A)
        self.metadata("4")
        self.update(A, "6")
        self.metadata("7")
        self.metadata(None)
        pin = self.row(A)
        self.assertEqual((64, None, False), (pin.wish.every_vcpu, pin.origin, pin.deleted))

    def test_change_in_between_wins(self) -> None:
        self.run_instances(A)
        self.metadata("4")
        for value in ("5", None):
            stale = self.row(A)
            self.update(A, "6")
            # what was read before the change
            name = "kongming.conductor.follower.db_pins.get"
            with fixtures.MonkeyPatch(name, lambda *_, pin=stale: pin):
                self.metadata(value)
            pin = self.row(A)
            self.assertEqual((64, None, False), (pin.wish.every_vcpu, pin.origin, pin.deleted))
            pins.update(self.context, A, Asked({"vcpus": {"*": "4"}}), None, "metadata")

    def test_deleted_by_its_owner_it_is_back_with_the_next_event(self) -> None:
        self.run_instances(A)
        self.metadata("4")
        self.delete(A)
        self.metadata("4")
        self.assertFalse(self.row(A).deleted)


class PlacesTest(FollowerTestCase):
    """Of a project whose members may not name them, and ask for so much CPU time."""

    def setUp(self) -> None:
        super().setUp()
        self.configuration.set("exact_projects", ["shop"], "notifications")
        self.follower = Follower(self.conf, self.tell)
        self.run_instances(A, B)

    def test_not_named(self) -> None:
        for value in ("4-5", '{"memory": {"nodes": "0"}}', '{"emulator": "0"}'):
            self.metadata(value)
            self.assertIsNone(self.row_or_none(A))
            self.assertIn("policy does not allow resource_pin:places:name", self.log.output)

    def test_described(self) -> None:
        self.metadata('{"cpu_policy": "dedicated"}')
        self.assertEqual("pending", self.row(A).status)
        self.metadata("4")
        self.assertEqual(["created", "refused"], self.events(A))

    def test_cpu_time(self) -> None:
        self.metadata('{"qos": {"cpu_shares": 4096}}')
        self.assertIsNone(self.row_or_none(A))
        self.metadata('{"qos": {"cpu_shares": 512}}')
        self.assertEqual("pending", self.row(A).status)

    def test_neighbours_of_others(self) -> None:
        self.report(self.instance(C, project_id="shop"))
        for uuid in (C, D):
            self.metadata(f'{{"avoid": ["{uuid}"]}}')
            self.assertIsNone(self.row_or_none(A))
            self.assertIn(f"avoid: instance {uuid} is not known", self.log.output)
        self.metadata(f'{{"avoid": ["{B}"]}}')
        self.assertEqual("pending", self.row(A).status)

    def test_all_projects(self) -> None:
        self.configuration.set("exact_projects", ["*"], "notifications")
        self.follower = Follower(self.conf, self.tell)
        self.metadata("4-5")
        self.assertEqual("pending", self.row(A).status)


class RefusedTest(FollowerTestCase):
    def test_malformed(self) -> None:
        self.run_instances(A)
        for _ in range(3):
            self.metadata("4-")
        self.assertIsNone(self.row_or_none(A))
        self.assertEqual(1, self.log.output.count(f"Instance {A}: {KEY}: value"))

    def test_malformed_change_is_told_by_the_history_once(self) -> None:
        self.run_instances(A)
        self.metadata("4")
        for _ in range(3):
            self.metadata("4-")
        self.assertEqual(["created", "refused"], self.events(A))
        self.assertEqual((16, "pending"), (self.row(A).wish.every_vcpu, self.row(A).status))
        self.metadata("all")
        self.assertEqual(["created", "refused", "refused"], self.events(A))

    def test_no_room(self) -> None:
        self.run_instances(A, B)
        self.create(B, "4")
        self.metadata("4")
        self.assertEqual("failed", self.row(A).status)
        self.assertIn(B, str(self.row(A).reason))
        # and is tried again with each report
        self.delete(B)
        self.confirm(B)
        self.run_instances(A, B)
        self.assertEqual(("pending", None), self.status(A))

    def test_change_for_which_there_is_no_room(self) -> None:
        self.run_instances(A, B)
        self.create(B, "4")
        self.metadata("5")
        self.metadata("4")
        self.assertEqual(["created", "refused"], self.events(A))
        self.assertEqual(32, self.row(A).wish.every_vcpu)

    def test_server_that_nova_placed_is_left_alone(self) -> None:
        self.run_instances(A, holds="4-5")
        self.metadata("4-5")
        self.assertEqual("failed", self.row(A).status)
        self.assertIn("somebody else", str(self.row(A).reason))
        # whoever may set metadata may not override
        self.metadata('{"vcpus": {"*": "4-5"}, "override": true}', B)
        self.assertIsNone(self.row_or_none(B))

    def test_no_room_while_the_former_pin_is_on_its_way_out(self) -> None:
        self.run_instances(A, B)
        self.create(B, "4")
        self.create(A, "5")
        self.confirm(A)
        self.delete(A)
        before = self.database()
        self.metadata("4")
        self.assertEqual(before, self.database())
        self.assertEqual({A: "5", B: "4"}, self.claims())


class DeletedTest(FollowerTestCase):
    def test_waiting_pin_goes_with_what_is_reserved(self) -> None:
        self.create(A, wait=True, cpu_policy="dedicated", target=ROOM)
        self.assertEqual({A: "0-1"}, self.claims())
        self.news(What.DELETED)
        self.assertIsNone(self.row_or_none(A))
        self.assertEqual(({}, ["one"]), (self.claims(), self.told))

    def test_pin_on_a_host_goes_when_that_confirms(self) -> None:
        self.run_instances(A)
        self.create(A, "4")
        self.news(What.DELETED)
        self.assertTrue(self.row(A).deleted)
        self.assertEqual({A: "4"}, self.claims())
        self.report(gone=[A])
        self.assertIsNone(self.row_or_none(A))
        self.assertEqual({}, self.claims())

    def test_no_pin(self) -> None:
        before = self.database()
        self.news(What.DELETED)
        self.news(What.NOT_BUILT)
        self.assertEqual(before, self.database())


class NotBuiltTest(FollowerTestCase):
    def test_reservation_ends_at_once(self) -> None:
        self.create(A, wait=True, cpu_policy="dedicated", target=ROOM)
        self.news(What.NOT_BUILT)
        self.assertEqual({}, self.claims())
        self.assertEqual(("waiting", "the instance could not be built on host one"), self.status(A))
        self.assertEqual((["one"], ["created", "waiting"]), (self.told, self.events(A)))
        with engine.reader() as session:
            late = datetime.datetime(2100, 1, 1)
            self.assertEqual([], db_reservations.expired(session, late))

    def test_another_host_may_still_be_tried(self) -> None:
        self.create(A, wait=True, cpu_policy="dedicated", target=ROOM)
        self.news(What.NOT_BUILT)
        reservations.reserve(self.context, A, ROOM)
        self.assertEqual({A: "0-1"}, self.claims())


class LegacyTest(FollowerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ask_nova()
        self.run_instances(A)

    def test_nova_is_asked(self) -> None:
        self.api.add(A, metadata={KEY: "4-5"})
        self.news(What.METADATA)
        self.assertEqual(48, self.row(A).wish.every_vcpu)
        self.api.servers[A]["metadata"] = {}
        self.news(What.METADATA)
        self.assertTrue(self.row(A).deleted)

    def test_server_that_is_gone_by_now(self) -> None:
        before = self.database()
        self.news(What.METADATA)
        self.assertEqual(before, self.database())


class HintTest(FollowerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ask_nova()
        self.run_instances(A)

    def built(self, hint: Any, metadata: dict[str, str] | None = None, uuid: str = A) -> None:
        """Let Nova tell that a server was made, with a hint and this metadata."""
        hints = {} if hint is None else {"resource_pin": hint}
        self.api.add(uuid, scheduler_hints=hints)
        self.news(What.METADATA, uuid, metadata or {}, built=True)

    def asked(self) -> int:
        """How often Nova was asked for a server."""
        return len([path for path, _ in self.api.asked if "/servers/" in path])

    def test_server_without_pin(self) -> None:
        self.built(["4", "5"])
        pin = self.row(A)
        self.assertEqual(
            (48, "one", "pending", "telco", "mano", "hint"),
            (pin.wish.every_vcpu, pin.host, pin.status, pin.project_id, pin.user_id, pin.origin),
        )
        self.assertEqual((["one"], 1), (self.told, self.asked()))

    def test_wish_in_full(self) -> None:
        self.built(['{"cpu_policy": "dedicated"}'])
        self.assertEqual({A: "0-1"}, self.claims())

    def test_metadata_says_nothing_of_this_pin(self) -> None:
        self.built(["4"])
        before = self.database()
        for value in (None, "5"):
            self.metadata(value)
        self.assertEqual(before, self.database())

    def test_no_hint(self) -> None:
        self.built(None)
        self.assertIsNone(self.row_or_none(A))

    def test_nova_is_not_asked_without_need(self) -> None:
        self.built(["4"], {KEY: "5"})
        self.assertEqual(32, self.row(A).wish.every_vcpu)
        self.run_instances(A, B)
        self.create(B, "6")
        self.built(["4"], uuid=B)
        self.delete(A)
        # long after it was made
        self.metadata(None)
        self.assertEqual(0, self.asked())

    def test_nova_cannot_be_asked(self) -> None:
        self.configuration.set("auth_type", None, "service_credentials")
        self.follower = Follower(self.conf, self.tell)
        self.built(["4"])
        self.assertIsNone(self.row_or_none(A))

    def test_legacy(self) -> None:
        self.api.add(A, scheduler_hints={"resource_pin": ["4"]})
        self.news(What.METADATA, built=True)
        self.assertEqual("hint", self.row(A).origin)

    def test_server_that_is_gone_by_now(self) -> None:
        self.news(What.METADATA, metadata={}, built=True)
        self.assertIsNone(self.row_or_none(A))

    def test_wrong(self) -> None:
        for hint, words in (
            ([], "is empty"),
            (["4-"], "4-"),
            (["template:gold"], "there is no template gold"),
            (['{"cpu_policy": "gold"}'], "cpu_policy: must be one of"),
            (['{"vcpus": {"*": "4"}, "override": true}'], "override: is not known"),
            ([f"pin:{B}"], f"instance {B} has no pin"),
        ):
            self.built(hint)
            self.assertIsNone(self.row_or_none(A), words)
            self.assertIn(f"Instance {A}: resource_pin: ", self.log.output)
            self.assertIn(words, self.log.output)

    def test_no_room(self) -> None:
        self.run_instances(A, B)
        self.create(B, "4")
        self.built(["4"])
        self.assertEqual("failed", self.row(A).status)

    def test_pin_of_another(self) -> None:
        self.run_instances(A, B)
        self.create(B, vcpus={"*": "4"}, override=True)
        self.built([f"pin:{B}"])
        self.assertEqual(Wish(every_vcpu=16), self.row(A).wish)

    def test_pin_of_another_project(self) -> None:
        others = self.instance(B, project_id="others")
        self.report(self.instance(A), others, full=True)
        self.create(B, vcpus={"*": "4"}, project_id="others")
        self.built([f"pin:{B}"])
        self.assertIsNone(self.row_or_none(A))
        self.assertIn(f"instance {B} has no pin", self.log.output)


class TemplateTest(FollowerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_instances(A)
        new = objects.Template(
            name="ims",
            project_id="telco",
            user_id="mano",
            shared=False,
            content={"roles": {"media": {"vcpus": {"*": "4"}, "emulator": "1"}}},
        )
        self.template = templates.create(self.context, new)

    def test_metadata(self) -> None:
        self.metadata('{"template": "ims/media"}')
        row = self.row(A)
        self.assertEqual(
            (Wish(every_vcpu=16, emulator=2), self.template.id, "media", 1, {}),
            (row.wish, row.template_id, row.template_role, row.template_version, row.asked),
        )
        before = self.database()
        self.metadata(' {"template": "ims/media"}')
        self.assertEqual(before, self.database())
        self.metadata('{"template": "ims/media", "emulator": "2"}')
        self.assertEqual(({"emulator": "2"}, 2), (self.row(A).asked, self.row(A).generation))
        with engine.reader() as session:
            told = [
                event.asked_by
                for event in pin_events.of_pin(session, A, pin_events.owners(session, A), 100)
            ]
        by = {"kind": "metadata", "template": "ims", "role": "media", "version": 1}
        self.assertEqual([by, by], told)
        self.metadata("7")
        self.assertEqual((None, Wish(every_vcpu=128)), (self.row(A).template_id, self.row(A).wish))

    def test_rollout_in_between_does_not_win(self) -> None:
        self.metadata('{"template": "ims/media"}')
        before = [self.row(A)]
        content = {"roles": {"media": {"emulator": "2"}}}
        changed = templates.update(self.context, self.template.id, content, None, None, 1)
        for _ in range(2):
            steps.advance(self.context, str(changed.rollout_id))
        self.assertEqual(2, self.row(A).generation)
        look = db_pins.get
        name = "kongming.conductor.follower.db_pins.get"
        with fixtures.MonkeyPatch(name, lambda *args: before.pop() if before else look(*args)):
            self.metadata('{"template": "ims/media", "emulator": "3"}')
        row = self.row(A)
        self.assertEqual((Wish(emulator=8), 2, 3), (row.wish, row.template_version, row.generation))

    def test_metadata_names_what_is_not_there(self) -> None:
        self.metadata("7")
        for text, words in (
            ('{"template": "ims"}', "template: a role must be named; there are media"),
            ('{"template": "gold"}', "template: there is no template gold"),
            ('{"template": 4}', "template: must read NAME or NAME/ROLE"),
            ('{"template": "ims/media", "override": true}', "override: is not known"),
        ):
            self.metadata(text)
            self.assertEqual(128, self.row(A).wish.every_vcpu)
            self.assertEqual("refused", self.events(A)[-1])
            self.assertIn(words, self.log.output)

    def test_hint(self) -> None:
        self.ask_nova()
        self.api.add(A, scheduler_hints={"resource_pin": ["template:ims/media"]})
        self.news(What.METADATA, A, {}, built=True)
        row = self.row(A)
        self.assertEqual((16, "hint", 1), (row.wish.every_vcpu, row.origin, row.template_version))
