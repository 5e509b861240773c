# SPDX-License-Identifier: Apache-2.0
"""Configuration of Sphinx for the API reference."""

project = "KongMing API Reference"
copyright = "KongMing contributors"
html_theme = "alabaster"
