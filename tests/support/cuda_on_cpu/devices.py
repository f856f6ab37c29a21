"""Descriptions of GPUs from NVIDIA's tables, for tests of the planner."""

from __future__ import annotations

from minigrad.backend import Device

KIB = 1 << 10
A100 = Device("A100", 108, 163 * KIB, 1 << 16, 1024, (8, 0), True)
H100 = Device("H100", 132, 227 * KIB, 1 << 16, 1024, (9, 0), True)
H200 = Device("H200", 132, 227 * KIB, 1 << 16, 1024, (9, 0), True)
RTX_3060 = Device("RTX 3060", 28, 99 * KIB, 1 << 16, 1024, (8, 6), True)
RTX_3090 = Device("RTX 3090", 82, 99 * KIB, 1 << 16, 1024, (8, 6), True)
RTX_4090 = Device("RTX 4090", 128, 99 * KIB, 1 << 16, 1024, (8, 9), True)
DEVICES = [A100, H100, H200, RTX_3060, RTX_3090, RTX_4090]
