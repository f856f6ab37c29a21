"""CUDA kernels as C++: a stand-in device that compiles them with g++ and runs every thread as a fiber."""
