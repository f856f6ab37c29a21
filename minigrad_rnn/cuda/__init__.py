"""Kernels for whole recurrent sequences on a CUDA device.

`planner` chooses an implementation by shape and device, `source` assembles a kernel's text, `launches` runs it, and
`sequence` makes a primitive of it. `costs` are what the planner estimates with; `python -m minigrad_rnn.cuda.tune`
measures them on a device. The kernels themselves (`*.cu`, `*.h`) are compiled on first use.
"""
