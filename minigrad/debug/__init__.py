"""Inspection of the recorded graph: tables, drawings, anomaly detection, profiling, gradient checks."""
