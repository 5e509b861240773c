# SPDX-License-Identifier: Apache-2.0
"""Templates are made and changed, and pins follow them."""

import functools
from typing import Any

from oslo_config import cfg

from kongming import exception, objects
from kongming.conductor import pins, templates, wishes
from kongming.db import engine, models
from kongming.objects.asked import Asked
from kongming.tests.unit.conductor import base
from kongming.tests.unit.conductor.base import A, B
from kongming.topology.wish import Wish, WishError


class TemplateTestCase(base.ConductorTestCase):
    def template(
        self,
        name: str = "gold",
        shared: bool = False,
        project_id: str = "telco",
        **content: Any,
    ) -> objects.Template:
        """Make a template."""
        new = objects.Template(
            name=name,
            project_id=project_id,
            user_id="mano",
            shared=shared,
            content=content or {"wish": {}},
        )
        return templates.create(self.context, new)

    def change(
        self,
        template: objects.Template,
        shared: bool | None = None,
        version: int | None = None,
        batch_size: int = 1,
        **content: Any,
    ) -> objects.Template:
        """Change a template."""
        return templates.update(self.context, template.id, content, shared, version, batch_size)

    def follow(
        self, uuid: str, template: objects.Template, role: str | None = None, **fields: Any
    ) -> objects.Pin:
        """Create a pin that follows."""
        pin = objects.Pin(
            instance_uuid=uuid,
            project_id="telco",
            user_id="mano",
            asked=fields,
            template_id=template.id,
            template_role=role,
        )
        return pins.create(self.context, pin, wait=True)

    def asked_by(self, uuid: str) -> list[dict[str, Any]]:
        """Return who asked, by the history of a pin."""
        with engine.reader() as session:
            rows = session.query(models.PinEvent).filter_by(instance_uuid=uuid)
            return [row.asked_by or {} for row in rows.order_by(models.PinEvent.id)]


class NameTest(TemplateTestCase):
    def test_taken_in_the_project(self) -> None:
        self.template()
        self.refused(exception.TemplateExists, self.template)
        self.template(project_id="shop")
        # large and small letters differ, on every database
        self.template("Gold")

    def test_shared_names_are_taken_for_who_shares(self) -> None:
        self.template(shared=True)
        self.refused(
            exception.TemplateExists, functools.partial(self.template, shared=True, project_id="x")
        )
        other = self.template(project_id="shop")
        self.refused(exception.TemplateExists, self.change, other, shared=True, wish={})

    def test_race_for_a_name(self) -> None:
        results = self.race(*[self.template] * 4)
        kinds = sorted(type(result).__name__ for result in results)
        self.assertEqual(["Template", *["TemplateExists"] * 3], kinds)


class QuotaTest(TemplateTestCase):
    def test_a_project_has_as_many_as_it_may(self) -> None:
        cfg.CONF.set_override("templates", 2, "quota")
        self.addCleanup(cfg.CONF.clear_override, "templates", "quota")
        made = [self.template(name) for name in ("gold", "silver")]
        self.template("gold", project_id="shop")
        error = self.refused(exception.QuotaExceeded, self.template, "bronze")
        self.assertEqual(
            "quota: project telco may have 2 templates, has 2, and would have 1 more.",
            error.message,
        )
        self.change(made[0], wish={"emulator": "1"})
        templates.delete(self.context, made[1].id)
        self.template("bronze")


class ChangeTest(TemplateTestCase):
    def test_unknown(self) -> None:
        gone = self.template()
        templates.delete(self.context, gone.id)
        self.refused(exception.TemplateNotFound, self.change, gone, wish={})
        self.refused(exception.TemplateNotFound, templates.delete, self.context, gone.id)

    def test_stale(self) -> None:
        template = self.template()
        self.change(template, wish={"emulator": "1"}, version=1)
        error = self.refused(
            exception.StaleTemplate, self.change, template, wish={"emulator": "2"}, version=1
        )
        self.assertIn("1 is stale, the template is at version 2", error.message)

    def test_race_of_changes(self) -> None:
        template = self.template()
        calls = [
            functools.partial(self.change, template, version=1, wish={"emulator": str(number)})
            for number in range(1, 5)
        ]
        kinds = sorted(type(result).__name__ for result in self.race(*calls))
        self.assertEqual([*["StaleTemplate"] * 3, "Template"], kinds)
        self.assertEqual(2, len(self.database()["template_versions"]))

    def test_in_force_at_once_where_nobody_follows(self) -> None:
        changed = self.change(self.template(), wish={"emulator": "1"})
        self.assertEqual((2, 2, None), (changed.version, changed.current, changed.rollout_id))


class FollowTest(TemplateTestCase):
    def test_wish(self) -> None:
        template = self.template(roles={"media": {"emulator": "1", "vcpus": {"*": "4"}}})
        self.run_instances(A)
        pin = self.follow(A, template, "media", vcpus={"*": "5"})
        self.assertEqual(Wish(every_vcpu=32, emulator=2), pin.wish)
        self.assertEqual(({"vcpus": {"*": "5"}}, 1), (pin.asked, pin.template_version))
        self.assertEqual("media", self.row(A).template_role)
        expected = {
            "kind": "user",
            "user_id": "mano",
            "template": "gold",
            "role": "media",
            "version": 1,
        }
        self.assertEqual([expected], self.asked_by(A))

    def test_template_of_another_project(self) -> None:
        others = self.template(project_id="shop")
        error = self.refused(exception.BadRequest, self.follow, A, others)
        self.assertIn("template: is there no more for this project", error.message)

    def test_deleted_meanwhile(self) -> None:
        template = self.template()
        templates.delete(self.context, template.id)
        self.refused(exception.BadRequest, self.follow, A, template)
        asked = Asked({}, template.id)
        with engine.reader() as session:
            error = self.assertRaises(WishError, wishes.wish_of, session, asked)
        self.assertEqual("template", error.field)

    def test_role_gone_meanwhile(self) -> None:
        template = self.template(roles={"media": {}})
        self.change(template, roles={"control": {}})
        error = self.refused(exception.BadRequest, self.follow, A, template, "media")
        self.assertIn("template: has no role media; there are control", error.message)

    def test_in_use(self) -> None:
        template = self.template()
        self.follow(A, template)
        self.refused(exception.TemplateInUse, templates.delete, self.context, template.id)
        pins.delete(self.context, A)
        templates.delete(self.context, template.id)

    def test_no_longer_in_use_while_the_host_has_yet_to_release(self) -> None:
        template = self.template(wish={"vcpus": {"*": "4"}})
        self.run_instances(A)
        self.follow(A, template)
        self.delete(A)
        self.assertTrue(self.row(A).deleted)
        templates.delete(self.context, template.id)

    def test_no_longer_in_use_by_who_asks_otherwise(self) -> None:
        template = self.template()
        self.follow(A, template)
        pins.update(self.context, A, Asked({"emulator": "1"}), None)
        row = self.row(A)
        self.assertEqual((None, None), (row.template_id, row.template_version))
        templates.delete(self.context, template.id)

    def test_unshared_while_others_follow(self) -> None:
        template = self.template(shared=True, project_id="shop")
        self.follow(A, template)
        self.refused(exception.TemplateInUse, self.change, template, shared=False, wish={})

    def test_race_of_follower_and_deletion(self) -> None:
        for number in range(5):
            template = self.template(f"gold-{number}")
            self.race(
                functools.partial(self.follow, B, template),
                functools.partial(templates.delete, self.context, template.id),
            )
            row = self.row_or_none(B)
            with engine.reader() as session:
                there = session.get(models.Template, template.id) is not None
            self.assertEqual(row is not None, there)
            if row is not None:
                pins.delete(self.context, B)
