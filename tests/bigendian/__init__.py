"""The test suite under a big-endian Python."""

SUITE = ("tests/unit", "tests/property", "tests/contract", "tests/drivers")
"""What runs there: the same files as here."""
