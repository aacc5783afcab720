"""What optimal interpolation gains by its radius, its observations and its blocks.

    python benchmarks/oi.py --configfile config/nature.yaml --axis coarse --value 4 \\
        --streams background stations --radii 5000 10000 --observations 600 1200

Takes the stores, tables and operators of the configuration's results, which must be there (the
target `train` makes them, and more). Prints the CRPS of OI's Gaussian over the same blocks of the
same windows of the validation period, normalised, for each radius and number of observations. So
it is seen whether a rival of ours is held down by its settings.
"""

import argparse
from pathlib import Path
from types import SimpleNamespace

import torch

from slams import experiment
from slams.classical.blocks import analyse_blocks, no_points, partition
from slams.classical.ensemble import Sample
from slams.classical.innovations import innovations
from slams.classical.tuning import gaussian_crps, optimal_interpolation
from slams.config import load, merge
from slams.netcdf import load_dataset
from slams.observing import Observer
from slams.observing_files import streams_of
from slams.statistics import Normalisation
from slams.store import Store
from slams.tapers import cell_places

CONFIG = Path(__file__).parents[1] / "config/config.yaml"


def files(results: Path, streams: list[str]) -> SimpleNamespace:
    """What the rules give an analysis of these streams."""
    found = SimpleNamespace()
    if "stations" in streams:
        found.station_fit = str(results / "operators/stations.nc")
        found.stations = sorted(map(str, results.glob("stations/*/reports.parquet")))
    if "imagery" in streams:
        found.imagery_model = str(results / "operators/imagery.pt")
        found.imagery = sorted(map(str, results.glob("fields/imagery-*.nc")))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--configfile", type=Path, required=True)
    parser.add_argument("--streams", nargs="+", default=["background"])
    parser.add_argument("--axis", choices=experiment.DEGRADED, default="coarse")
    parser.add_argument("--value", type=float, default=4.0)
    parser.add_argument("--radii", type=float, nargs="+", help="km; those of the configuration")
    parser.add_argument("--observations", type=int, nargs="+", help="that of the configuration")
    parser.add_argument("--block-km", type=float, help="that of the configuration")
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--every", type=int, default=6, help="every how-manieth block is analysed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = merge(load(CONFIG), load(options.configfile))
    section, results = config["classical"], Path("results") / config["name"]
    train, validation = (Store(results / f"store/{split}.nc") for split in ("train", "validation"))
    normalisation = Normalisation(load_dataset(results / "statistics.nc"))
    hours, steps = experiment.step_hours(config), experiment.case_steps(config)
    observer = Observer(
        normalisation,
        validation,
        validation,
        names=options.streams,
        axis=options.axis,
        value=options.value,
        settings={k: v for k, v in config["axes"][options.axis].items() if k != "values"},
        streams=streams_of(files(results, options.streams)),
        cases=2,
        steps=steps,
        step_hours=hours,
        quality={key: config["sampler"][key] for key in ("gross_error", "robust")},
        seed=config["seed"],
        label="benchmark of optimal interpolation",
    )
    sample = Sample(
        train,
        normalisation,
        steps=steps,
        step_hours=hours,
        count=section["samples"],
        rotations=section["rotations"],
        seed=config["seed"],
    )
    latitude, longitude = (normalisation.dataset[name].values for name in ("latitude", "longitude"))
    places, points = cell_places(latitude, longitude), no_points(sample)
    blocks = partition(latitude, longitude, points, options.block_km or section["block_km"])
    radii = options.radii or section["oi"]["radii_km"]
    limits = options.observations or [section["oi"]["observations"]]
    windows = list(observer.observed_validation(options.windows))
    seen = [innovations(window, sample, latitude, longitude) for window in windows]
    print(f"{len(seen[0].value)} observations, {len(sample)} windows, {len(blocks)} blocks")
    print(f"| radius, km | {' | '.join(f'{limit} observations' for limit in limits)} |")
    print("|---" * (1 + len(limits)) + "|")
    for radius in radii:
        row = []
        for limit in limits:
            scores = []
            for number, (window, found) in enumerate(zip(windows, seen, strict=True)):
                analyser = optimal_interpolation([found], float(radius), limit)
                some = blocks[number :: options.every]
                (analysed,) = analyse_blocks([analyser], [1], sample, some, points, places)
                scores.append(gaussian_crps(window, analysed.mean[0], analysed.variance[0], places))
            row.append(f"{sum(scores) / len(scores):.4f}")
        print(f"| {radius:g} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
