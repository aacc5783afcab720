"""The offline report of one experiment: one HTML file, and the table for the terminal."""

from slams.report.findings import Numbers, described, finding
from slams.report.headline import Entry, Row, headline, number, summary_table
from slams.report.page import write
from slams.report.pictures import embedded
from slams.report.tables import costs, counts

__all__ = [
    "Entry",
    "Numbers",
    "Row",
    "costs",
    "counts",
    "described",
    "embedded",
    "finding",
    "headline",
    "number",
    "summary_table",
    "write",
]
