"""Ask the host for something from inside a guest: by files in the folder that both share."""

from __future__ import annotations

import itertools
import os

from tests.guest.inside import SHARE, wait_until

ASK, ANSWER = "ask-", "answer-"
ANSWER_S = 40.0

_count = itertools.count()


def ask(*words: object) -> str:
    """Have the host do something (tests.vfio_user.serving.Host) and return what it says.

    Raises AssertionError where the host could not do it.
    """
    name = f"{os.getpid()}-{next(_count)}"
    (SHARE / f"writing-{name}").write_text(" ".join(map(str, words)))
    (SHARE / f"writing-{name}").rename(SHARE / f"{ASK}{name}")
    answer = SHARE / f"{ANSWER}{name}"
    wait_until(answer.exists, ANSWER_S, f"the host to {' '.join(map(str, words))}")
    said = answer.read_text()
    answer.unlink()
    assert said.startswith("+"), said
    return said[1:]
