# SPDX-License-Identifier: Apache-2.0
"""Asks an agent for its metrics, as Prometheus does."""

import collections

import requests
from prometheus_client import parser


def samples(port: int) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the value of each sample: ``{name: {values of its labels: value}}``.

    :raises requests.RequestException: nobody answers on this port of the loopback address
    """
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    answer.raise_for_status()
    found: dict[str, dict[tuple[str, ...], float]] = collections.defaultdict(dict)
    for family in parser.text_string_to_metric_families(answer.text):
        for each in family.samples:
            found[each.name][tuple(each.labels.values())] = each.value
    return found
