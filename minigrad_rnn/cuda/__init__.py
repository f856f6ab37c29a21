"""Kernels for whole recurrent sequences on a CUDA device, and who chooses among them.

`planner` decides by shape and device, `source` puts a kernel's text together, `launches` runs it, and `sequence` makes
a primitive of it. The kernels themselves (`*.cu`, `*.h`) are compiled when they are first needed.
"""
