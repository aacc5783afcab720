"""The ensembles of all cases of a cell, with the classical analyses beside them."""

import xarray as xr

from slams import device
from slams.archives import station_set
from slams.assimilation import Streams, assimilate_cell
from slams.job import job
from slams.observation.imagery import ImageryModel, read
from slams.paper.inputs import read_inputs
from slams.prior import Prior
from slams.provenance import atomic, attributes
from slams.store import Store

with job(snakemake.log[0], snakemake.threads), device.claim(snakemake.params.device) as taken:
    given = snakemake.input
    streams = Streams()
    if hasattr(given, "station_fit"):
        streams.stations = station_set.read(given.stations)
        streams.station_fit = xr.load_dataset(given.station_fit)
    if hasattr(given, "imagery_model"):
        streams.imagery_model = ImageryModel.load(given.imagery_model)
        images = read(given.imagery, streams.imagery_model.channels)
        streams.imagery = xr.concat(list(images), dim="time")
    if hasattr(given, "persistence"):
        streams.persistence = xr.load_dataset(given.persistence)
    beside = None
    if hasattr(given, "encoder_images"):
        beside = read_inputs(given.encoder_images, sorted(snakemake.params.arm["encoder"]))
    data = assimilate_cell(
        Prior.load(given.prior).to(taken),
        Store(given.test),
        Store(given.validation),
        arm=snakemake.params.arm,
        axis=snakemake.wildcards.axis,
        value=float(snakemake.wildcards.value),
        settings=snakemake.params.axis,
        streams=streams,
        beside=beside,
        cases=snakemake.params.cases,
        steps=snakemake.params.steps,
        sampler=snakemake.params.sampler,
        seed=snakemake.params.seed,
    )
    inputs = [path for path in given if not path.endswith(".npy")]
    data.attrs |= attributes(snakemake.config, snakemake.params.seed, inputs)
    with atomic(snakemake.output[0]) as path:
        data.to_netcdf(path)
