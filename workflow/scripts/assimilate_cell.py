"""The ensembles of all cases of a cell, or of several cells."""

import math

from slams import device, room
from slams.assimilation import assimilate_cell
from slams.batch import cells_of
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
    params = snakemake.params
    test = Store(snakemake.input.test)
    # The members, the truth and the background as first guess.
    fields = params.cases * params.steps * (params.sampler["members"] + 2)
    size = 4.0 * fields * math.prod(test.shape) * len(snakemake.output)
    room.check(snakemake.output[0], size, snakemake.output[0])
    prior = Prior.load(snakemake.input.prior).to(taken)
    validation = Store(snakemake.input.validation)
    beside = None
    if hasattr(snakemake.input, "encoder_images"):
        beside = read_inputs(snakemake.input.encoder_images, sorted(params.arm["encoder"]))
    for cell in cells_of(snakemake):
        with cell.named():
            data = assimilate_cell(
                prior,
                test,
                validation,
                arm=params.arm,
                axis=cell.axis,
                value=float(cell.value),
                settings=params.axes[cell.axis],
                streams=streams_of(cell.given),
                cases=params.cases,
                steps=params.steps,
                sampler=params.sampler,
                seed=params.seed,
                beside=beside,
            )
            data.attrs |= attributes(snakemake.config, params.seed, cell.inputs)
            with atomic(cell.output) as path:
                data.to_netcdf(path)
            cell.keep()
