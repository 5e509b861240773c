# SPDX-License-Identifier: Apache-2.0
"""Selects threads, not eventlet, for oslo.service: imported first by every program.

oslo.service picks its backend when ``oslo_service.service`` is imported, which
oslo.messaging does, and would pick eventlet.
"""

import warnings

# oslo.service still requires eventlet, and futurist imports it when it is there; nothing
# here uses it.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

from oslo_service import backend  # noqa: E402

backend.init_backend(backend.BackendType.THREADING)
