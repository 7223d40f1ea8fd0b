"""Findings and reports."""

from __future__ import annotations

import json

import pytest

from pymmio.doctor import Finding, Report, State

GOOD = Finding("vfio", "vfio-pci", State.OK, "loaded", needed_for=("vfio",))
BAD = Finding("iommu", "groups", State.MISSING, "none", "Get one", ("vfio", "vfio:0000:01:00.0"))
FACT = Finding("kernel", "version", State.INFO, "Linux <6>")


def test_a_finding_as_json() -> None:
    assert json.loads(json.dumps(BAD.as_dict())) == {
        "topic": "iommu",
        "name": "groups",
        "state": "missing",
        "seen": "none",
        "next_step": "Get one",
        "needed_for": ["vfio", "vfio:0000:01:00.0"],
    }


def test_findings_are_values() -> None:
    assert Finding("a", "b", State.OK, "c") == Finding("a", "b", State.OK, "c")
    with pytest.raises(AttributeError):
        BAD.seen = "other"  # type: ignore[misc]


def test_a_report_is_chosen_from_by_topic_and_purpose() -> None:
    report = Report([GOOD, BAD, FACT])
    assert report.about("vfio") == [GOOD]
    assert report.needed_for("vfio") == [GOOD, BAD]
    assert report.needed_for("vfio:0000:01:00.0", "other") == [BAD]
    assert report.needed_for("other") == []


@pytest.mark.parametrize(
    ("state", "is_ready"),
    [
        (State.OK, True),
        (State.WARN, True),
        (State.INFO, False),
        (State.MISSING, False),
        (State.UNKNOWN, False),
    ],
)
def test_what_is_not_known_to_be_there_is_not_ready(state: State, is_ready: bool) -> None:
    assert Report([GOOD, Finding("a", "b", state, "c")]).is_ready is is_ready


def test_counts_leave_out_what_none_has() -> None:
    assert Report([GOOD, BAD, BAD]).counts() == {State.OK: 1, State.MISSING: 2}


def test_a_notebook_shows_a_table_of_escaped_text() -> None:
    html = Report([FACT])._repr_html_()
    assert "Linux &lt;6&gt;" in html
    assert "<table" in html
