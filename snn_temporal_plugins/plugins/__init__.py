"""Plug-ins: found by name, made for a host, swapped into a model, checked."""

from .errors import PluginConflictError as PluginConflictError
from .errors import PluginError as PluginError
from .errors import PluginLoadError as PluginLoadError
from .errors import PluginVersionError as PluginVersionError
from .errors import UnknownPluginError as UnknownPluginError
from .registry import get as get
from .registry import list_plugins as list_plugins
from .registry import refresh as refresh
from .registry import register as register
from .spec import EncoderSpec as EncoderSpec
from .spec import LossSpec as LossSpec
from .spec import NeuronSpec as NeuronSpec
from .spec import PluginSpec as PluginSpec
from .spec import SurrogateSpec as SurrogateSpec
from .spec import SynapseSpec as SynapseSpec
