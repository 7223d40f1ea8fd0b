"""Proof of "one access is one access"."""
