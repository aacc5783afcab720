"""A dry run of five thousand cells."""

import resource

from working_copy import Copy

LIMIT = 30.0  # processor seconds: 20 on a quiet machine, and what shared cores add


def spent() -> float:
    """Processor seconds of all calls that are over."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_dry_run_of_five_thousand_cells_is_quick(fresh: Copy) -> None:
    arms = [
        {"name": f"arm-{number}", "space": "latent", "streams": ["background", "stations"]}
        for number in range(5)
    ]
    axes = {
        "noise": {"values": [round(0.001 * (n + 1), 3) for n in range(1000)]},
        **{axis: {"values": []} for axis in ("coarse", "sparse", "persistence")},
    }
    before = spent()
    call = fresh.snakemake("results/tiny/scores.parquet", "-n", keys={"arms": arms, "axes": axes})
    assert call.status == 0, call.text
    assert call.plan["assimilate_cell"] == call.plan["verify_cell"] == 5000
    assert spent() - before < LIMIT
