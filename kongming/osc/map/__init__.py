# SPDX-License-Identifier: Apache-2.0
"""The map of a host, or of an instance on it, for a terminal: drawn from the API's documents."""
