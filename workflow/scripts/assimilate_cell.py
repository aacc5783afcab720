"""The ensembles of all cases of a cell."""

import math

from slams import device, room
from slams.assimilation import assimilate_cell
from slams.job import job
from slams.observing_files import streams_of
from slams.paper.inputs import read_inputs
from slams.prior import Prior
from slams.provenance import atomic, attributes
from slams.store import Store

with (
    job(snakemake.log[0], snakemake.threads),
    device.claim(snakemake.params.device, snakemake.config["jobs_per_gpu"]) as taken,
):
    given = snakemake.input
    test = Store(given.test)
    beside = None
    if hasattr(given, "encoder_images"):
        beside = read_inputs(given.encoder_images, sorted(snakemake.params.arm["encoder"]))
    # The members, the truth and the background as first guess.
    fields = snakemake.params.cases * snakemake.params.steps
    fields *= snakemake.params.sampler["members"] + 2
    room.check(snakemake.output[0], 4.0 * fields * math.prod(test.shape), snakemake.output[0])
    data = assimilate_cell(
        Prior.load(given.prior).to(taken),
        test,
        Store(given.validation),
        arm=snakemake.params.arm,
        axis=snakemake.wildcards.axis,
        value=float(snakemake.wildcards.value),
        settings=snakemake.params.axis,
        streams=streams_of(given),
        cases=snakemake.params.cases,
        steps=snakemake.params.steps,
        sampler=snakemake.params.sampler,
        seed=snakemake.params.seed,
        beside=beside,
    )
    inputs = [path for path in given if not path.endswith(".npy")]
    data.attrs |= attributes(snakemake.config, snakemake.params.seed, inputs)
    with atomic(snakemake.output[0]) as path:
        data.to_netcdf(path)
