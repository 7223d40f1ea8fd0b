"""Backends with one fault each, to show that the contract notices."""
