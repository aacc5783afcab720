"""Residuals of the fitted observation operators in the validation period."""

from functools import partial

from slams.archives import station_set
from slams.cases import validation_cases
from slams.job import job
from slams.netcdf import load_dataset
from slams.observation.calibration import Operators, residuals
from slams.observation.imagery import ImageryModel, lazily
from slams.provenance import atomic, attributes
from slams.statistics import Normalisation
from slams.store import Store

with job(snakemake.log[0]):
    given = snakemake.input
    operators = Operators(persistence=[load_dataset(path) for path in given.persistence])
    if given.station_fit:
        operators.stations = partial(station_set.read, given.stations)
        operators.station_fit = load_dataset(given.station_fit[0])
    if given.imagery_model:
        operators.imagery_model = ImageryModel.load(given.imagery_model[0])
        operators.images = lazily(given.imagery, operators.imagery_model.channels)
    hours = snakemake.params.step_hours
    table = residuals(
        operators,
        validation_cases(Store(given.store), 1, hours),
        Normalisation(load_dataset(given.statistics)),
        gross_error=snakemake.params.gross_error,
        seed=snakemake.params.seed,
    )
    inputs = [path for path in given if not path.endswith(".npy")]
    table.attrs = attributes(snakemake.config, snakemake.params.seed, inputs)
    with atomic(snakemake.output[0]) as path:
        table.to_parquet(path, index=False)
