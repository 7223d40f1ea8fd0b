"""Virtqueues, split and packed: rings in DMA memory, moved by an engine in C."""
