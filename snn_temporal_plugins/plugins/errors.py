"""Errors of the plug-in machinery. All of them are :class:`PluginError`."""

from __future__ import annotations


class PluginError(Exception):
    """Something is wrong with a plug-in or with the way it is used."""


class UnknownPluginError(PluginError, LookupError):
    """No plug-in of that kind has this name, or it is switched off."""


class PluginConflictError(PluginError):
    """Two distributions offer the same name: say which one, as ``"distribution:name"``."""


class PluginLoadError(PluginError, ImportError):
    """A plug-in is listed but cannot be loaded; the cause is chained."""


class PluginVersionError(PluginError):
    """A plug-in was written for another version of the plug-in interface."""
