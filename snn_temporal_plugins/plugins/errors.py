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


class SwapError(PluginError, ValueError):
    """A swap that cannot be done; nothing has been changed."""


class NothingMatchedError(SwapError):
    """No module of the model answers to the mapping."""


class StateArityError(SwapError):
    """The new neuron has more states than the model's code passes around."""


class WeightsWouldBeLostError(SwapError):
    """The old neuron owns input or recurrent weights, which the new one has no place for."""


class TimeLayoutError(SwapError):
    """One neuron takes a time step per call, the other a sequence."""


class BackendMismatchError(SwapError):
    """The new neuron was made for another host."""


class UnsupportedContainerError(SwapError):
    """Modules inside this container cannot be replaced from outside."""


class HooksAttachedError(SwapError):
    """Hooks or parametrisations on the old module would be lost."""


class OptionNotSupportedError(SwapError):
    """The new module cannot honour an option of the old one."""


class NotAHostNeuronError(SwapError):
    """The module to be replaced is no neuron of a host, so its call is not known."""
