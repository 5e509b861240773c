# SPDX-License-Identifier: Apache-2.0
"""The one SQL database: models, migrations, and queries by noun."""
