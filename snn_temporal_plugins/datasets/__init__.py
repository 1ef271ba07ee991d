"""Real data for examples and measurements, read from where they are; nothing heavy is imported."""

from .container import Dataset as Dataset
from .events import EventDataset as EventDataset
from .events import Events as Events
from .events import bin_events as bin_events
from .loading import NAMES as NAMES
from .loading import load as load
from .yin_yang import yin_yang as yin_yang
