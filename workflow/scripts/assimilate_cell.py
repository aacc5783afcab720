"""The ensembles of all cases of a cell, with the classical analyses beside them."""

import math
from functools import partial

import xarray as xr

from slams import device, room
from slams.archives import station_set
from slams.assimilation import Streams, assimilate_cell
from slams.job import job
from slams.observation.imagery import ImageryModel, lazily
from slams.prior import Prior
from slams.provenance import atomic, attributes
from slams.store import Store

with job(snakemake.log[0], snakemake.threads), device.claim(snakemake.params.device) as taken:
    given = snakemake.input
    test = Store(given.test)
    # The members, the truth and what is beside them.
    fields = snakemake.params.cases * snakemake.params.steps
    fields *= snakemake.params.sampler["members"] + 4
    room.check(snakemake.output[0], 4.0 * fields * math.prod(test.shape), snakemake.output[0])
    streams = Streams()
    if hasattr(given, "station_fit"):
        streams.stations = partial(station_set.read, given.stations)
        streams.station_fit = xr.load_dataset(given.station_fit)
    if hasattr(given, "imagery_model"):
        streams.imagery_model = ImageryModel.load(given.imagery_model)
        streams.imagery = lazily(given.imagery, streams.imagery_model.channels)
    if hasattr(given, "persistence"):
        streams.persistence = xr.load_dataset(given.persistence)
    data = assimilate_cell(
        Prior.load(given.prior).to(taken),
        test,
        Store(given.validation),
        arm=snakemake.params.arm,
        axis=snakemake.wildcards.axis,
        value=float(snakemake.wildcards.value),
        settings=snakemake.params.axis,
        streams=streams,
        cases=snakemake.params.cases,
        steps=snakemake.params.steps,
        sampler=snakemake.params.sampler,
        seed=snakemake.params.seed,
    )
    inputs = [path for path in given if not path.endswith(".npy")]
    data.attrs |= attributes(snakemake.config, snakemake.params.seed, inputs)
    with atomic(snakemake.output[0]) as path:
        data.to_netcdf(path)
