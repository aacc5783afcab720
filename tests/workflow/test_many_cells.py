"""A dry run of five thousand cells: every job is planned, once."""

from working_copy import Copy


def test_five_thousand_cells_are_planned(fresh: Copy) -> None:
    arms = [
        {"name": f"arm-{number}", "space": "latent", "streams": ["background", "stations"]}
        for number in range(5)
    ]
    axes = {
        "noise": {"values": [round(0.001 * (n + 1), 3) for n in range(1000)]},
        **{axis: {"values": []} for axis in ("coarse", "sparse", "persistence")},
    }
    call = fresh.snakemake("results/tiny/scores.parquet", "-n", keys={"arms": arms, "axes": axes})
    assert call.status == 0, call.text
    assert call.plan["assimilate_cell"] == call.plan["verify_cell"] == 5000
    # All arms have the same streams.
    assert call.plan["analyse_classically"] == 1000
