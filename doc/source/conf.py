# SPDX-License-Identifier: Apache-2.0
"""Configuration of Sphinx for the documentation."""

project = "KongMing"
copyright = "KongMing contributors"
html_theme = "alabaster"
extensions = [
    "cliff.sphinxext",
    "oslo_config.sphinxext",
    "oslo_policy.sphinxext",
]
