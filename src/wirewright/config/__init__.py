"""Configuration files of ``wg-quick(8)``, parsed once into typed, immutable models.

:class:`Config` is what a file says; :class:`Document` is the file as it stands, which can be changed and
written back without loss; :func:`explain` says in plain words what the configuration will do. Keys stay in
the core: Python holds opaque handles.
"""

from wirewright.config.config import Config
from wirewright.config.document import Document
from wirewright.config.errors import ConfigError, Note, Problem
from wirewright.config.explain import Explanation, explain
from wirewright.config.findings import Finding
from wirewright.config.model import Hook, Interface, Peer
from wirewright.config.values import Endpoint

__all__ = [
    "Config",
    "ConfigError",
    "Document",
    "Endpoint",
    "Explanation",
    "Finding",
    "Hook",
    "Interface",
    "Note",
    "Peer",
    "Problem",
    "explain",
]
