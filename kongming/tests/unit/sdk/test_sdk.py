# SPDX-License-Identifier: Apache-2.0

import json
import types
from typing import Any

import fixtures
import requests
from keystoneauth1 import exceptions as keystone_exceptions
from openstack import exceptions
from wsme import types as wtypes

from kongming import sdk
from kongming.api import microversion
from kongming.api.v1 import (
    calendar_body,
    calendars,
    candidates,
    history,
    hosts,
    instances,
    moves,
    pins,
    quotas,
    rollouts,
    schedules,
    templates,
    wishes,
)
from kongming.sdk import base as sdk_base
from kongming.sdk.calendar import Calendar, Previewed, Scheduled
from kongming.sdk.candidates import Candidates
from kongming.sdk.host import Host
from kongming.sdk.instance import Instance
from kongming.sdk.pin import Event, Move, Pin
from kongming.sdk.proxy import Proxy
from kongming.sdk.quota import Quota
from kongming.sdk.template import Rollout, Template, Version
from kongming.tests import base


def _fields(datatype: Any) -> set[str]:
    return {attribute.name for attribute in wtypes.list_attributes(datatype)} - {"links"}


class FieldsTest(base.BareTestCase):
    def test_newest_version_of_the_api(self) -> None:
        self.assertEqual(str(microversion.MAX_VERSION), sdk_base.NEWEST)

    def test_a_resource_has_each_field(self) -> None:
        shown = {
            Pin: (pins.Pin, pins.PlannedPin),
            Event: (history.Event,),
            Move: (moves.Move,),
            Host: (hosts.Host,),
            Instance: (instances.Instance,),
            Template: (templates.Template, templates.NewTemplate),
            Version: (templates.OneVersion,),
            Rollout: (rollouts.Rollout, rollouts.NewRollout),
            Calendar: (calendars.Calendar, calendar_body.NewCalendar),
            Previewed: (schedules.Previewed,),
            Scheduled: (schedules.Scheduled,),
            Quota: (quotas.Quota, quotas.ListedQuota),
            Candidates: (candidates.InstanceQuestion, candidates.Answer),
        }
        for resource, datatypes in shown.items():
            fields = {name for datatype in datatypes for name in _fields(datatype)}
            self.assertEqual(fields, fields & set(dir(resource)), str(resource))

    def test_fields_of_a_calendar(self) -> None:
        fields = _fields(calendar_body.ChangedCalendar)
        self.assertEqual(fields - {"generation", "template_version"}, set(Calendar.FIELDS))

    def test_what_quotas_limit(self) -> None:
        self.assertEqual(_fields(quotas.Limits), set(Quota.RESOURCES))

    def test_fields_of_a_wish(self) -> None:
        self.assertEqual(_fields(wishes.WishBody), set(Pin.WISH))


class ErrorsTest(base.BareTestCase):
    def error(self, content: bytes) -> exceptions.HttpException:
        response = requests.Response()
        response.status_code = 409
        response._content = content
        return exceptions.HttpException(response=response)

    def test_code_and_sentence(self) -> None:
        error = {"status": 409, "code": "resource_pin.pin_exists", "detail": "It has one."}
        body = json.dumps({"message": "It has one.", "errors": [error]}).encode()
        found = sdk_base.errors(self.error(body))
        self.assertEqual([("resource_pin.pin_exists", "It has one.")], found)

    def test_somebody_else_answers(self) -> None:
        for content in (b"<html>", b"{}", b"[]", b'{"errors": 1}', b'{"errors": [{}]}', b'"x"'):
            self.assertEqual([], sdk_base.errors(self.error(content)), str(content))
        self.assertEqual([], sdk_base.errors(exceptions.HttpException()))


class FollowTest(base.BareTestCase):
    """A pin is followed while the API is restarted."""

    def follow(self, *answers: Any, seconds: float = 60) -> list[str]:
        """Return the states of a pin for answers, some of which are exceptions."""
        left = list(answers)

        def get(_: Any, pin: str) -> Pin:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return Pin(instance_uuid=pin, status=answer)

        self.useFixture(fixtures.MonkeyPatch("kongming.sdk.proxy.Proxy.get_pin", get))
        self.useFixture(fixtures.MonkeyPatch("kongming.sdk.proxy.time.sleep", lambda _: None))
        proxy = Proxy.__new__(Proxy)
        return [pin.status for pin in proxy.follow_pin("uuid", seconds)]

    def test_away_for_a_while(self) -> None:
        gone, behind = keystone_exceptions.ConnectFailure(), _http(503)
        self.assertEqual(
            ["pending", "pending", "applied"],
            self.follow("pending", gone, behind, _http(502), "pending", gone, "applied"),
        )

    def test_away_for_too_long(self) -> None:
        gone = keystone_exceptions.ConnectFailure("gone")
        for seconds in (0, 0.05):
            raised = self.assertRaises(type(gone), self.follow, gone, seconds=seconds)
            self.assertIs(gone, raised)

    def test_refusal(self) -> None:
        for status in (404, 500):
            error = self.assertRaises(
                exceptions.HttpException, self.follow, "pending", _http(status)
            )
            self.assertEqual(status, error.status_code)


def _http(status: int) -> exceptions.HttpException:
    return exceptions.HttpException(http_status=status)


class CatalogueTest(base.BareTestCase):
    def found(self, *names: str) -> str:
        catalogue = types.SimpleNamespace(catalog=[{"type": name} for name in names])
        access = types.SimpleNamespace(service_catalog=catalogue)
        auth = types.SimpleNamespace(get_access=lambda _: access)
        return sdk.type_in_catalogue(types.SimpleNamespace(auth=auth))

    def test_both_types(self) -> None:
        self.assertEqual("resource-pin", self.found("compute"))
        self.assertEqual("resource-pin", self.found("compute", "resource-pin"))
        self.assertEqual("resource_pin", self.found("compute", "resource_pin"))
        self.assertEqual("resource-pin", self.found("resource_pin", "resource-pin"))

    def test_without_catalogue(self) -> None:
        session = types.SimpleNamespace(auth=object())
        self.assertEqual("resource-pin", sdk.type_in_catalogue(session))
