# SPDX-License-Identifier: Apache-2.0
"""The REST API: reads the database, hands every change to a conductor."""
