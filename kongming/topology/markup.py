# SPDX-License-Identifier: Apache-2.0
"""libvirt's XML, read without what it never writes: a document type, and so entities of its own.

The standard library resolves no external entity, and expat bounds what internal ones may grow to.
What is refused here cannot depend on the version of either.
"""

from xml.etree import ElementTree  # nosec B405 # see the docstring of the module


class MarkupError(ValueError):
    """It is not well-formed XML, or has a document type."""


def checked(document: str) -> str:
    """Return the document.

    :raises MarkupError: it has a document type
    """
    if "<!DOCTYPE" in document:
        raise MarkupError("a document type is not accepted")
    return document


def root(document: str) -> ElementTree.Element:
    """Return the root element of a document.

    :raises MarkupError: it is not XML as libvirt writes it
    """
    try:
        return ElementTree.fromstring(checked(document))  # nosec B314 # checked
    except ElementTree.ParseError as error:
        raise MarkupError(str(error)) from error
