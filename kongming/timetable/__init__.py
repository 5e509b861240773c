# SPDX-License-Identifier: Apache-2.0
"""When something is in force: pure, without input or output; times are aware and in UTC."""
