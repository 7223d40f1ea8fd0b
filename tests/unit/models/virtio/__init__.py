"""Virtio models: what they do with a driver that breaks the rules, and their registers."""
