# SPDX-License-Identifier: Apache-2.0
"""Programs. Each module holds the thin main of one."""

from kongming import backend as backend
