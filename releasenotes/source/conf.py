# SPDX-License-Identifier: Apache-2.0
"""Configuration of Sphinx for the release notes."""

project = "KongMing Release Notes"
copyright = "KongMing contributors"
extensions = ["openstackdocstheme", "reno.sphinxext"]
html_theme = "openstackdocs"
openstackdocs_auto_name = False
