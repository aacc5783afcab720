"""Print the table of scores of a finished experiment: print_summary.py results/demo."""

import sys
from pathlib import Path

import pandas as pd

from slams.report import summary_table
from slams.verification import summary

print(summary_table(summary(pd.read_parquet(Path(sys.argv[1]) / "scores.parquet"))))
