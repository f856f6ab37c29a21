"""Drawings of the recorded graph as pages, SVG, DOT and Mermaid."""
