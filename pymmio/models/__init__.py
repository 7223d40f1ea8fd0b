"""Device models: PCI devices in Python, served by the sim backend or over vfio-user.

Models are found by name through the entry point group ``pymmio.models``.  They
know nothing of how they are served and share no table with any driver.
"""
