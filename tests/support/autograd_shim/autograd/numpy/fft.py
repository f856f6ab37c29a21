"""autograd.numpy.fft."""

import numpy

import minigrad as mg

from .dispatch import namespace

__getattr__ = namespace(numpy.fft, mg.ops.fft, globals())
