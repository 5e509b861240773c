# SPDX-License-Identifier: Apache-2.0
"""nova-compute with the hypervisor drivers of this directory.

Nova looks for drivers inside its own package only.
"""

from nova import monkey_patch

monkey_patch.patch(backend="threading")

import pathlib  # noqa: E402
import sys  # noqa: E402

import nova.virt  # noqa: E402

nova.virt.__path__.append(str(pathlib.Path(__file__).parent))

from nova.cmd import compute  # noqa: E402

sys.exit(compute.main())
