"""Conformance checks for neurons, ours and other people's."""

from .run import CheckResults as CheckResults
from .run import check_neuron as check_neuron
from .run import neuron_checks_generator as neuron_checks_generator
from .run import parametrize_with_checks as parametrize_with_checks
