"""The page on performance has the figures of the last `make bench`, and names parts that can be run."""

import json

import pytest

from bench.__main__ import RESULTS
from bench.measurements import MEASUREMENTS
from bench.table import FIGURES, PAGE, Figure, lines, page_with
from sandbox.variants.product import OLDER, THIS


def test_the_pages_table_is_that_of_the_results() -> None:
    page = PAGE.read_text()
    assert page_with(lines(FIGURES, json.loads(RESULTS.read_text())), page) == page


def test_each_figure_has_a_measurement() -> None:
    assert {figure.measurement for figure in FIGURES} <= MEASUREMENTS.keys()


def test_a_figure_is_that_of_its_row_and_version() -> None:
    rows = [
        {"version": version, "workers": workers, "used": f"{version} {workers}"}
        for version in (OLDER, THIS.name)
        for workers in (1, 2)
    ]
    figure = Figure("calls used", "calls", "used", "all", {"workers": 2})
    assert figure.of({"calls": {"rows": rows}}, OLDER) == f"{OLDER} 2"
    assert figure.of({"calls": {"rows": rows}}, THIS.name) == f"{THIS.name} 2"
    assert figure.of({"calls": {"rows": rows[:1]}}, THIS.name) == "-"


def test_a_page_without_a_place_for_the_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place for the table"):
        page_with([], "# Performance\n")
