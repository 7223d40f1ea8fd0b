"""Direct access to persistent and shared memory."""
