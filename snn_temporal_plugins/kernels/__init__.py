"""Event-driven CPU loops behind ``torch.library`` operators; one folder per neuron model.

``cpu.py`` of a folder holds the loops and is the only kind of file that imports numba, ``op.py``
the operator with its schema, fake implementation and gradient. Nothing here is imported before
a layer asks for it.
"""
