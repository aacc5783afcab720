"""A year of station files to one table; every rejected row counted by its reason."""

from pathlib import Path

import pandas as pd

from slams.archives import inventory, station_ingest, station_lists
from slams.job import job
from slams.provenance import atomic, attributes

with job(snakemake.log[0]):
    year = int(snakemake.wildcards.year)
    beside = [path for raw in snakemake.input.raw for path in Path(raw).glob("isd-history.csv")]
    lists = [*snakemake.input.history, *beside][:1]
    files = inventory.files(snakemake.input.raw, year, "*")
    before = inventory.files(snakemake.input.before, year - 1, "*")
    before = [path for path in before if path not in files]
    account = station_ingest.ingest(
        files,
        station_lists.read_list(lists[0]) if lists else None,
        f"{year}-01-01",
        pd.Timestamp(year + 1, 1, 1) - pd.Timedelta("1ns"),
        snakemake.output.table,
        hours=snakemake.params.hours,
        tolerance=snakemake.params.tolerance,
        before=before,
        attributes=attributes(
            snakemake.config, snakemake.config["seed"], [*files, *before, *lists]
        ),
    )
    if snakemake.params.needed:
        station_ingest.require(account, year)
    with atomic(snakemake.output.rejected) as path:
        account.rejected.to_csv(path, index=False)
