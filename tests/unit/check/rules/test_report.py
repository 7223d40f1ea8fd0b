"""Reports: what stands in them, and that the page needs nothing from outside."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from pymmio.check.rules import DeviceRecorder, preset, ready_subject, run
from pymmio.check.rules.html import page
from pymmio.check.rules.report import as_dict, matrices, text
from pymmio.models.access_recorder import AccessRecorderModel
from pymmio.testing import open_model


def made(rule, subject):
    with open_model(AccessRecorderModel()) as device:
        ready = ready_subject(subject, device, rule)
        recorder = DeviceRecorder(device)
        return run(ready.access, preset(rule), recorder, name=subject, widths=ready.widths)


@pytest.fixture(scope="module")
def kept():
    return made("strict-pci", "strict")


@pytest.fixture(scope="module")
def broken():
    return made("vfio-pci", "bytes")


def test_json_has_each_case(broken):
    values = json.loads(json.dumps(as_dict(broken)))
    assert (values["rule"], values["subject"], values["verdict"]) == ("vfio-pci", "bytes", "broken")
    assert values["widths_not_asked"] == [3, 5, 6, 7]
    assert values["asked"] == len(values["cases"]) == 3 * 4 * 16 * 2
    assert values["broken"] == sum(case["verdict"] == "broken" for case in values["cases"])
    (case,) = [
        case
        for case in values["cases"]
        if (case["direction"], case["offset"], case["width"]) == ("read", 2, 2)
    ]
    assert case["expected"] == "2"
    assert [(access["offset"], access["width"]) for access in case["seen"]] == [(2, 1), (3, 1)]


def test_text_has_matrices_and_the_first_faults(broken):
    lines = text(broken, most=2).splitlines()
    assert lines[0] == "vfio-pci: broken by bytes, 240 of 384 accesses broken"
    assert lines[1] == "  Reads and writes at 0x0: any cell"
    assert lines[5].split() == ["4", *["1111!"] * 16]
    assert lines[-3].strip() == "read of 2 at 0x0: wanted 2, saw read 1@0x0, read 1@0x1"
    assert "238 more" in lines[-1]


def test_directions_are_shown_apart_only_where_they_differ(kept):
    assert [matrix.title for matrix in matrices(kept)] == [
        "Reads and writes at 0x0: any cell",
        "Reads and writes at 0xff0: last cell of a page",
        "Reads and writes at 0x1000: first cell of the next page",
    ]
    assert all(matrix.is_kept for matrix in matrices(kept))


class Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.stack, self.tags, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_outside(kept, broken):
    text = page([kept, broken], device="sim:<recorder>")
    outline = Outline()
    outline.feed(text)
    assert outline.stack == []
    assert outline.links == ["#strict-pci", "#vfio-pci"]
    assert not re.search(r"@import|url\(|https?:", text)
    assert "sim:&lt;recorder&gt;" in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_has_a_field_for_each_access(kept, broken):
    outline = Outline()
    outline.feed(page([kept, broken], device="recorder"))
    kinds = [attrs.get("class") for tag, attrs in outline.tags if tag == "td"]
    # reads and writes look the same, so each field stands for both
    assert sum(kind == "broken" for kind in kinds) == 120
    assert sum(kind in ("kept", "refused", "broken") for kind in kinds) == 2 * 3 * 4 * 16
