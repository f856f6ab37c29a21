"""Training on several machines or cores: one model, a share of each batch for every rank, gradients pooled."""

from .communicator import Communicator, DistributedError
from .data_parallel import DataParallel
from .mpi_communicator import MPICommunicator
from .thread_communicator import ThreadCommunicator, run_in_threads

__all__ = [
    "Communicator",
    "DataParallel",
    "DistributedError",
    "MPICommunicator",
    "ThreadCommunicator",
    "run_in_threads",
]
