# SPDX-License-Identifier: Apache-2.0
"""The API for any WSGI server: ``kongming.wsgi.api:application``."""

from kongming import backend as backend
