# SPDX-License-Identifier: Apache-2.0
"""Programs that tests run as somebody else."""
