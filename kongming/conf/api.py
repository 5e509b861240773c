# SPDX-License-Identifier: Apache-2.0
"""Options of ``[api]``."""

from typing import Any

from oslo_config import cfg

GROUP = "api"
OPTS = [
    cfg.HostAddressOpt(
        "host_ip",
        default="127.0.0.1",
        help="""
Address on which kongming-api listens. Set it to the address of the management
network once clients on other machines shall reach the API.
""",
    ),
    cfg.PortOpt(
        "port",
        default=9517,
        help="Port on which kongming-api listens. Change it if another service has it.",
    ),
    cfg.IntOpt(
        "api_workers",
        default=1,
        min=1,
        max=256,
        help="""
Worker processes of kongming-api. Raise it to about the number of CPUs of the
machine when requests queue while CPUs are idle.
""",
    ),
    cfg.IntOpt(
        "worker_threads",
        default=10,
        min=1,
        max=1000,
        help="""
Requests that one worker process serves at the same time. Raise it when clients
wait although the conductor and the database are idle.
""",
    ),
    cfg.BoolOpt(
        "enable_ssl_api",
        default=False,
        help="""
Serve HTTPS. Set it, with ``ssl_cert_file`` and ``ssl_key_file``, unless a proxy in
front of the API ends TLS.
""",
    ),
    cfg.StrOpt(
        "ssl_cert_file",
        help="PEM file with the certificate chain of the API; needed by ``enable_ssl_api``.",
    ),
    cfg.StrOpt(
        "ssl_key_file",
        help="PEM file with the private key of the API; needed by ``enable_ssl_api``.",
    ),
    cfg.URIOpt(
        "public_endpoint",
        schemes=["http", "https"],
        help="""
URL under which clients reach the API, without ``/v1``. Set it when a proxy changes
host, port or scheme: the links in answers begin with it.
""",
    ),
    cfg.StrOpt(
        "auth_strategy",
        default="keystone",
        choices=[
            ("keystone", "every request carries a token that Keystone issued"),
            ("noauth", "everybody is admin; refused unless ``host_ip`` is a loopback address"),
        ],
        help="""
How callers prove who they are. Leave it at ``keystone`` except for a trial on one
machine.
""",
    ),
    cfg.FloatOpt(
        "request_rate",
        default=0,
        min=0,
        help="""
Requests that each project may send in each second to each worker process; 0 does not count them.
Set it where a client that goes wild could take all ``worker_threads``, unless a proxy in front of
the API, which sees all workers, does so. Services of the cloud are not counted.
""",
    ),
    cfg.IntOpt(
        "request_burst",
        default=100,
        min=1,
        help="Requests that a project may send at once, when it has sent few for a while.",
    ),
    cfg.IntOpt(
        "request_timeout",
        default=60,
        min=1,
        help="""
Seconds in which a request has to be there whole, and in which the client has to take in what is
answered. Raise it for clients behind very slow lines.
""",
    ),
    cfg.IntOpt(
        "max_limit",
        default=1000,
        min=1,
        help="""
Items that one page of a list holds at most, and without ``limit``; newest lines of a history, and
newest versions of a template, that are told. Lower it when lists make the API's workers large.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [(GROUP, OPTS)]
