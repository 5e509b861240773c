# SPDX-License-Identifier: Apache-2.0
"""``application`` for uWSGI, mod_wsgi, gunicorn and the like.

Configuration is read from kongming.conf in the usual places (~/.kongming, ~, /etc/kongming,
/etc); the variable ``OS_KONGMING_CONFIG_FILE`` names another file.
"""

import os

from kongming import rpc, service
from kongming.api import app
from kongming.api.server import ConfigurationError, check_keystone

_file = os.environ.get("OS_KONGMING_CONFIG_FILE")
_conf = service.prepare("kongming-api", ["--config-file", _file] if _file else [])
if _conf.api.auth_strategy != "keystone":
    raise ConfigurationError(
        "[api] auth_strategy must be keystone here: nobody can tell who reaches this server"
    )
check_keystone(_conf)
application = app.make(_conf, rpc.transport(_conf))
