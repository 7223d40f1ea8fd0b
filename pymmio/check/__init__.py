"""Proofs: what an accessor really does, and whether accesses keep the rules."""
