"""Virtio devices (virtio 1.2), whatever their transport."""
