"""Looking inside: the recorded graph as tables and drawings, anomalies, time and memory, gradient checks."""
