"""Print the table of scores of a finished experiment: print_summary.py results/demo."""

import sys
from pathlib import Path

import pandas as pd

from slams.report import summary_table
from slams.verification import summary

table = Path(sys.argv[1]) / "scores.parquet"
if not table.is_file():
    sys.exit(
        f"error: {table} is not there; make it: snakemake {table} --cores 2 --configfile "
        f"config/{table.parent.name}.yaml"
    )
print(summary_table(summary(pd.read_parquet(table))))
