"""The command `slams`: what an experiment will need."""

import argparse
import sys
from pathlib import Path

from slams import plan
from slams.config import check, load, merge
from slams.errors import SlamsError


def main() -> None:
    """`slams plan [--configfile FILE ...]`, in the folder of the Snakefile."""
    parser = argparse.ArgumentParser(prog="slams", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    planning = commands.add_parser(
        "plan", help="print what an experiment will download and need; nothing is started"
    )
    planning.add_argument("--configfile", nargs="+", type=Path, default=[], help="as for snakemake")
    arguments = parser.parse_args()
    try:
        given = [load(path) for path in [Path("config/config.yaml"), *arguments.configfile]]
        config = merge(*given)
        check(config, Path("config/schema.yaml"))
        print(plan.report(config))
    except SlamsError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
