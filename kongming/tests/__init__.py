# SPDX-License-Identifier: Apache-2.0
"""Tests: unit/ mirrors the package, embedded/ and functional/ run whole systems."""

from kongming import backend as backend
