"""An arm's ensemble over time at one place."""

from functools import partial
from pathlib import Path

from slams.archives import station_set
from slams.figures import Stations, arm_styles, lines, save, series, shown_cases
from slams.figures.moments import cell_title
from slams.job import job
from slams.netcdf import load_dataset, open_dataset

with job(snakemake.log[0]):
    given, arm = snakemake.input, snakemake.wildcards.arm
    stations = None
    if given.station_fit:
        stations = Stations(
            load_dataset(given.station_fit[0]),
            partial(station_set.read, given.stations),
            load_dataset(given.statistics),
        )
    place = tuple(snakemake.params.place) if snakemake.params.place else None
    with open_dataset(given.analysis) as analysis, open_dataset(given.classical) as classical:
        cases = shown_cases(analysis.sizes["case"], analysis.sizes["step"])
        found = lines(analysis, classical, cases, place=place, stations=stations)
        figure = series(found, arm_styles(snakemake.params.arms)[arm], cell_title(analysis))
    save(figure, Path(snakemake.output[0]).with_suffix(""))
