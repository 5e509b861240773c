# SPDX-License-Identifier: Apache-2.0
from kongming.compute.events import LEGACY, VERSIONED, News, What
from kongming.tests import base, nova

A = "11111111-1111-4111-8111-111111111111"
PROJECT = "6a82a7d10a26452b81aef4c21ef41a69"
USER = "3479682ba51d497c8d63153d0c69b6a2"
NUMA2, VIRT = "e09f02ad-de1a-4350-8891-474eb1bbfaa5", "22ea8103-f9b1-46f6-8934-3070ade66784"
MOVED, DELETED = "464f9a15-b224-4102-a994-8c973e545419", "a04e18a6-467b-482b-bc72-4a03e0ef473c"


def metadata(uuid: str, values: dict[str, str] | None = None, built: bool = False) -> News:
    """Return the news that a server has some metadata, which legacy events leave to Nova."""
    return News(What.METADATA, uuid, PROJECT, USER, values, built)


MEANING = {
    ("versioned_notifications", "scheduler.select_destinations.end"): None,
    ("notifications", "scheduler.select_destinations.end"): None,
    # its server is deleted: the event that ends it follows
    ("versioned_notifications", "instance.update"): None,
    ("notifications", "compute.instance.create.end"): metadata(NUMA2, built=True),
    ("versioned_notifications", "instance.create.end"): metadata(NUMA2, {}, built=True),
    ("versioned_notifications", "instance.reboot.end"): metadata(VIRT, {}),
    ("notifications", "compute.instance.power_on.end"): metadata(VIRT),
    ("versioned_notifications", "instance.power_on.end"): metadata(VIRT, {}),
    ("versioned_notifications", "instance.rebuild.end"): metadata(VIRT, {}),
    ("versioned_notifications", "instance.resize_finish.end"): metadata(VIRT, {}),
    ("versioned_notifications", "instance.live_migration_post_dest.end"): metadata(
        MOVED, {"b": "2"}
    ),
    ("versioned_notifications", "instance.delete.end"): News(What.DELETED, DELETED, PROJECT, USER),
    ("versioned_notifications", "compute_task.migrate_server.error"): None,
}

FINISHED = (
    *("create", "power_on", "power_off", "reboot", "rebuild", "resize", "resize_finish"),
    *("resize_confirm", "resize_revert", "live_migration_post", "live_migration_post_dest"),
    *("live_migration_rollback", "unshelve", "resume", "unpause", "shelve"),
)
FINISHED_LEGACY = (
    *("create.end", "finish_resize.end", "resize.revert.end", "live_migration.post.dest.end"),
    *("live_migration._post.end", "rebuild.end", "power_on.end", "update"),
)


class RecordedTest(base.BareTestCase):
    def test_each(self) -> None:
        handlers = {handler.topic: handler for handler in (VERSIONED, LEGACY)}
        found = {
            (each["topic"], each["event"]): handlers[each["topic"]].read(
                each["event"], each["payload"]
            )
            for each in nova.RECORDED
        }
        self.assertEqual(MEANING, found)


class VersionedTest(base.BareTestCase):
    def read(self, event: str, **changes: object) -> What | None:
        """Return what an event is about."""
        news = VERSIONED.read(event, nova.payload(event, A, **changes))
        if news is not None:
            self.assertEqual(A, news.uuid)
        return None if news is None else news.what

    def test_metadata_is_told_when_something_is_complete(self) -> None:
        for event in FINISHED:
            self.assertEqual(What.METADATA, self.read(f"instance.{event}.end"), event)
            self.assertIsNone(self.read(f"instance.{event}.start"), event)

    def test_host_of_the_payload_does_not_matter(self) -> None:
        for host in (None, "dead", "one"):
            for event in ("instance.rebuild.end", "instance.resize.end", "instance.update"):
                changes = {"host": host, "state": "active", "metadata": {"a": "b"}}
                self.assertEqual(
                    News(What.METADATA, A, "telco", "mano", {"a": "b"}),
                    VERSIONED.read(event, nova.payload(event, A, **changes)),
                )

    def test_update(self) -> None:
        for state, expected in {
            "active": What.METADATA,
            "stopped": What.METADATA,
            "resized": What.METADATA,
            "building": None,
            "error": None,
            "deleted": None,
            "soft-delete": None,
        }.items():
            self.assertEqual(expected, self.read("instance.update", state=state), state)

    def test_not_built(self) -> None:
        for event in ("instance.create.error", "compute_task.build_instances.error"):
            self.assertEqual(What.NOT_BUILT, self.read(event))
        for event in ("compute_task.migrate_server.error", "compute_task.rebuild_server.error"):
            self.assertIsNone(self.read(event))

    def test_all_else(self) -> None:
        for event in (
            "instance.exists",
            "instance.soft_delete.end",
            "instance.delete.start",
            "instance.rebuild.error",
            "service.update",
            "flavor.create",
            "keypair.delete.end",
        ):
            state = "soft-delete" if "soft" in event else "active"
            self.assertIsNone(self.read(event, state=state), event)


class LegacyTest(base.BareTestCase):
    def read(self, event: str, **changes: object) -> News | None:
        """Return the news in an event."""
        return LEGACY.read(event, nova.legacy_payload(A, **changes))

    def test_metadata_is_left_to_nova(self) -> None:
        for event in FINISHED_LEGACY:
            told = News(What.METADATA, A, "telco", "mano", built=event == "create.end")
            self.assertEqual(told, self.read(f"compute.instance.{event}", metadata={"a": "b"}))
        self.assertTrue(LEGACY.asks_nova)
        for event in ("create.start", "exists", "rebuild.scheduled"):
            self.assertIsNone(self.read(f"compute.instance.{event}"), event)
        self.assertIsNone(self.read("compute.instance.update", state="building"))

    def test_ends(self) -> None:
        deleted = self.read("compute.instance.delete.end", state="deleted")
        self.assertEqual(News(What.DELETED, A, "telco", "mano"), deleted)
        for event in ("compute.instance.create.error", "compute_task.build_instances"):
            news = self.read(event, state="error")
            assert news is not None
            self.assertEqual((What.NOT_BUILT, A), (news.what, news.uuid))
