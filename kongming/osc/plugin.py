# SPDX-License-Identifier: Apache-2.0
"""What osc-lib asks of a plugin: a client, and the global option for the version."""

import argparse
import re
from typing import Any

from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions, utils

from kongming import sdk
from kongming.sdk.proxy import Proxy

API_NAME = "resource_pin"
API_VERSION_OPTION = "os_resource_pin_api_version"
#: The newest microversion that both sides know.
DEFAULT_API_VERSION = "1"


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the global option."""
    parser.add_argument(
        "--os-resource-pin-api-version",
        metavar="<resource-pin-api-version>",
        default=utils.env("OS_RESOURCE_PIN_API_VERSION", default=DEFAULT_API_VERSION),
        help="Version of the resource pin API: 1.N, or 1 for the newest that both sides know"
        " (default: 1) (Env: OS_RESOURCE_PIN_API_VERSION)",
    )
    return parser


def check_api_version(version: str) -> bool:
    """Accept each microversion; which of them the API knows is seen when it is asked.

    :raises CommandError: it is none
    """
    if re.fullmatch(r"1(\.\d+)?", version) is None:
        raise exceptions.CommandError(
            f"--os-resource-pin-api-version {version}: must be 1.N, or 1 for the newest"
        )
    return True


def make_client(instance: Any) -> Proxy:
    """Return the client of a client manager.

    :raises CommandError: the API does not know the version that was asked for
    """
    connection = instance.sdk_connection
    sdk.add_to(connection)
    asked = instance._api_version[API_NAME]
    try:
        client: Proxy = connection.resource_pin
    except sdk_exceptions.ConfigException as error:
        raise exceptions.CommandError(
            f"--os-resource-pin-api-version {asked}: the API does not know that version"
            " (resource_pin.version_not_supported)"
        ) from error
    if "." in asked:
        # openstacksdk has not always taken 1.0 for the version of requests
        client.default_microversion = asked
    return client
