"""Host classes made from the neurons, one module per host.

Nothing is imported here: a host is imported only by the module that serves it.
"""
