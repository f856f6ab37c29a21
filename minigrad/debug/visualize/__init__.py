"""Drawings of the recorded graph as SVG, DOT and Mermaid."""
