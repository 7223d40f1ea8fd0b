"""A request that is answered with an error."""

from __future__ import annotations

import os

__all__ = ["Refusal"]


class Refusal(Exception):
    """Answer with this errno; nothing was changed."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"{why} ({os.strerror(number)})")
        self.number = number
