# SPDX-License-Identifier: Apache-2.0
"""Every cell of the matrix of personas, calls and owners, with users and roles of a Keystone."""

import functools
import uuid
from collections.abc import Callable
from typing import Any, ClassVar

import requests
from keystoneauth1 import adapter, session
from keystoneauth1.identity import v3

from kongming.tests import base as tests_base
from kongming.tests import rbac
from kongming.tests.openstack import base
from kongming.tests.openstack.fixtures.client import Client
from kongming.tests.openstack.fixtures.cloud import FAKE_HOSTS

OWN, OTHERS = "rbac-telco", "rbac-shop"
#: Project and roles of each persona; what roles imply Keystone knows.
PERSONAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "admin": ("rbac-operators", ("admin",)),
    "service": ("rbac-services", ("service",)),
    "orchestrator": (OWN, ("member", "resource_pin")),
    "manager": (OWN, ("manager",)),
    "member": (OWN, ("member",)),
    "reader": (OWN, ("reader",)),
    "guest": (OWN, ("guest",)),
}


def _test(line: rbac.Line) -> Callable[[Any], None]:
    def test(self: "MatrixTest") -> None:
        self.assertEqual([], list(self.world.wrong(line)))

    return test


@rbac.each_line(_test)
class MatrixTest(base.KongMingCase):
    world: ClassVar[rbac.World]
    apis: ClassVar[dict[str, adapter.Adapter]]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cloud, kongming = base.shared_cloud(), base.shared_kongming()
        cls.apis = {}
        for persona, (project, roles) in {**PERSONAS, "other": (OTHERS, ("member",))}.items():
            cloud.add_user(f"rbac-{persona}", project, roles)
            user = Client(cloud.configuration.auth_url, f"rbac-{persona}", project)
            cls.apis[persona] = kongming.client(user)
        uuids = {kind: str(uuid.uuid4()) for kind in ("own", "others", "absent")}
        projects = {
            kind: str(cls.apis[persona].session.get_project_id())
            for kind, persona in (("own", "member"), ("others", "other"))
        }
        kongming.run(FAKE_HOSTS[0], [server(uuids[kind], projects[kind]) for kind in projects])
        cls.addClassCleanup(kongming.run, FAKE_HOSTS[0], [])
        cls.world = rbac.World(cls.ask, uuids, projects, FAKE_HOSTS[:2])
        cls.addClassCleanup(cls.forget)
        for kind in projects:
            tests_base.eventually(functools.partial(cls.there, uuids[kind]), 30)

    @classmethod
    def there(cls, instance: str) -> bool:
        """Whether KongMing knows an instance."""
        return cls.ask("admin", "GET", f"/v1/instances/{instance}", None, "latest").ok

    @classmethod
    def forget(cls) -> None:
        """Leave no pins behind."""
        for instance in cls.world.uuids.values():
            cls.ask("admin", "DELETE", f"/v1/pins/{instance}", None, "latest")

    @classmethod
    def ask(
        cls, persona: str, method: str, path: str, body: Any, version: str
    ) -> requests.Response:
        headers = {"OpenStack-API-Version": f"resource_pin {version}"}
        answer: requests.Response = cls.apis[persona].request(
            path, method, json=body, headers=headers
        )
        return answer


class ApplicationCredentialTest(base.KongMingCase):
    """What an operator hands to an orchestrator instead of a password, with some of its roles."""

    def test_roles_are_those_of_the_credential(self) -> None:
        url = self.cloud.configuration.auth_url
        self.cloud.add_user("rbac-mano", "rbac-mano", ("member", "resource_pin"))
        user = Client(url, "rbac-mano", "rbac-mano")
        identity = user.service("identity")
        path = f"/users/{user.session.get_user_id()}/application_credentials"
        for name, roles, expected in (
            ("whole", ("member", "resource_pin"), 200),
            ("plain", ("member",), 403),
        ):
            asked = {"name": name, "roles": [{"name": role} for role in roles]}
            answer = identity.post(path, json={"application_credential": asked}).json()
            made = answer["application_credential"]
            auth = v3.ApplicationCredential(
                auth_url=url,
                application_credential_id=made["id"],
                application_credential_secret=made["secret"],
            )
            api = adapter.Adapter(
                session.Session(auth=auth), endpoint_override=self.kongming.url, raise_exc=False
            )
            self.assertEqual(200, api.get("/v1/pins").status_code, name)
            self.assertEqual(expected, api.get("/v1/hosts").status_code, name)


def server(instance: str, project_id: str) -> dict[str, Any]:
    """Return a server as Nova shows it."""
    return {
        "id": instance,
        "tenant_id": project_id,
        "user_id": "somebody",
        "flavor": {"vcpus": 1, "ram": 64},
    }
