"""The answers to the exercises, one module for each notebook, named like it without its number."""
