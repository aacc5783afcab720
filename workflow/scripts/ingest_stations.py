"""A year of station files to one table; every rejected row counted by its reason."""

from pathlib import Path

import pandas as pd

from slams.archives import inventory, isd
from slams.job import job
from slams.provenance import atomic, attributes

with job(snakemake.log[0]):
    year = int(snakemake.wildcards.year)
    history = [*snakemake.input.history, *Path(snakemake.input.raw[0]).glob("isd-history.csv")]
    files = inventory.files(snakemake.input.raw, year, "*")
    table, rejected = isd.ingest(
        files,
        isd.read_history(history[0]),
        f"{year}-01-01",
        pd.Timestamp(year + 1, 1, 1) - pd.Timedelta("1ns"),
        hours=snakemake.params.hours,
        tolerance=snakemake.params.tolerance,
    )
    if snakemake.params.needed:
        isd.require(table, rejected, year)
    table.attrs |= attributes(snakemake.config, snakemake.config["seed"], [*files, history[0]])
    with atomic(snakemake.output.table) as path:
        table.to_parquet(path, index=False)
    with atomic(snakemake.output.rejected) as path:
        rejected.to_csv(path, index=False)
