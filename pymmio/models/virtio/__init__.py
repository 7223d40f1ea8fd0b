"""Virtio device models: what they have in common, and the devices."""
