"""Recurrent networks whose back-propagation through time falls out of the graph."""
