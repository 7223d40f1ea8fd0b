"""Drivers for :mod:`pymmio`: each one uses public names of pymmio only.

A driver declares in ``MATCH`` which devices it takes and registers through the entry-point
group ``pymmio.drivers``, exactly as somebody else's driver would.
"""
