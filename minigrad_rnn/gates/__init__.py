"""The cells' equations and their derivatives, one text for the CUDA kernels and for the compiled sequences on a CPU.

The headers are written in what C and CUDA C++ have in common. `Real` is a number on a device and a vector of units on a
CPU; before including them a kernel defines `Real`, `EQUATION` (the qualifiers of its functions) and the functions of
sigmoid, tanh and relu that are listed in `rnn.h`.
"""
