"""The classical analyses of all cases of a cell, for every arm with its streams."""

import xarray as xr

from slams import device
from slams.classical.cells import analyse_cell
from slams.job import job
from slams.observing import Observer
from slams.observing_files import streams_of
from slams.provenance import atomic, attributes
from slams.statistics import Normalisation
from slams.store import Store

with (
    job(snakemake.log[0], snakemake.threads),
    device.claim(snakemake.params.device, snakemake.config["jobs_per_gpu"]) as taken,
):
    given, wildcards = snakemake.input, snakemake.wildcards
    observer = Observer(
        Normalisation(xr.load_dataset(given.statistics)),
        Store(given.test),
        Store(given.validation),
        names=wildcards.streams.split("+"),
        axis=wildcards.axis,
        value=float(wildcards.value),
        settings=snakemake.params.axis,
        streams=streams_of(given),
        cases=snakemake.params.cases,
        steps=snakemake.params.steps,
        step_hours=snakemake.params.step_hours,
        quality=snakemake.params.quality,
        seed=snakemake.params.seed,
        label=f"classical analyses of {wildcards.streams} at {wildcards.axis}-{wildcards.value}",
    )
    data = analyse_cell(observer, Store(given.train), snakemake.params.classical, taken)
    inputs = [path for path in given if not path.endswith(".npy")]
    data.attrs |= attributes(snakemake.config, snakemake.params.seed, inputs)
    with atomic(snakemake.output[0]) as path:
        data.to_netcdf(path)
