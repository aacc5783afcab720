"""The command `slams`: what an experiment will need, and where a result comes from."""

import argparse
import signal
import sys
from pathlib import Path

from slams import lineage, plan
from slams.config import check, load, merge
from slams.errors import SlamsError


def main() -> None:
    """`slams plan [--configfile FILE ...]`, `slams provenance FILE`, in the Snakefile's folder."""
    parser = argparse.ArgumentParser(prog="slams", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    planning = commands.add_parser(
        "plan", help="print what an experiment will download and need; nothing is started"
    )
    planning.add_argument("--configfile", nargs="+", type=Path, default=[], help="as for snakemake")
    asking = commands.add_parser(
        "provenance", help="print what a result was made from, back to the raw files"
    )
    asking.add_argument("file", type=Path, nargs="+", help="any file in results/")
    asking.add_argument(
        "--verify",
        action="store_true",
        help="read every file, and say which has changed since; the exit status is 1 if any has",
    )
    asking.add_argument(
        "--full",
        action="store_true",
        help=f"name also more than {lineage.FOLD} raw files of one folder",
    )
    arguments = parser.parse_args()
    try:
        if arguments.command == "provenance":
            sys.exit(_tell_provenance(arguments))
        given = [load(path) for path in [Path("config/config.yaml"), *arguments.configfile]]
        config = merge(*given)
        check(config, Path("config/schema.yaml"))
        print(plan.report(config))
    except SlamsError as error:
        sys.exit(f"error: {error}")


def _tell_provenance(arguments: argparse.Namespace) -> int:
    """Print the chains; the exit status."""
    if hasattr(signal, "SIGPIPE"):  # `slams provenance ... | head` ends without a word
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    fold = None if arguments.full else lineage.FOLD
    faults = 0
    for file in arguments.file:
        for line in lineage.chain(file, verify=arguments.verify, fold=fold):
            print(line)
            faults += lineage.is_fault(line)
    return 1 if faults else 0


if __name__ == "__main__":
    main()
