# SPDX-License-Identifier: Apache-2.0
"""The plugin of the ``openstack`` program: ``openstack resource pin …``."""
