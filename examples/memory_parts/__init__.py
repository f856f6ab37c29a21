"""The parts of `memory_tasks.py`: the tasks, and pictures of what nets learnt of them."""
