"""The classical analyses of all cases of a cell or of several, for every arm with its streams."""

from slams import device
from slams.batch import cells_of
from slams.classical.cells import analyse_cell
from slams.job import job
from slams.netcdf import load_dataset
from slams.observing import Observer
from slams.observing_files import streams_of
from slams.provenance import atomic, attributes
from slams.statistics import Normalisation
from slams.store import Store

with (
    job(snakemake.log[0], snakemake.threads),
    device.claim(snakemake.params.device, snakemake.config["jobs_per_gpu"]) as taken,
):
    params, streams = snakemake.params, snakemake.wildcards.streams
    train, test, validation = (
        Store(snakemake.input[split]) for split in ("train", "test", "validation")
    )
    normalisation = Normalisation(load_dataset(snakemake.input.statistics))
    for cell in cells_of(snakemake):
        with cell.named():
            observer = Observer(
                normalisation,
                test,
                validation,
                names=streams.split("+"),
                axis=cell.axis,
                value=float(cell.value),
                settings=params.axes[cell.axis],
                streams=streams_of(cell.given),
                cases=params.cases,
                steps=params.steps,
                step_hours=params.step_hours,
                quality=params.quality,
                seed=params.seed,
                label=f"classical analyses of {streams} at {cell.axis}-{cell.value}",
            )
            data = analyse_cell(observer, train, params.classical, taken)
            data.attrs |= attributes(snakemake.config, params.seed, cell.inputs)
            with atomic(cell.output) as path:
                data.to_netcdf(path)
            cell.keep()
