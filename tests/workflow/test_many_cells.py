"""Dry runs of thousands of cells: each is planned, once; beyond a thousand they share jobs."""

from collections import Counter

from working_copy import Copy

TARGET = "results/tiny/scores.parquet"


def plan(copy: Copy, noises: int) -> Counter[str]:
    """The jobs of five arms at so many noises."""
    arms = [
        {"name": f"arm-{number}", "space": "latent", "streams": ["background", "stations"]}
        for number in range(5)
    ]
    axes = {
        "noise": {"values": [round(0.001 * (n + 1), 3) for n in range(noises)]},
        **{axis: {"values": []} for axis in ("coarse", "sparse", "persistence")},
    }
    call = copy.snakemake(TARGET, "-n", keys={"arms": arms, "axes": axes})
    assert call.status == 0, call.text
    return Counter(call.plan)


def test_a_thousand_cells_have_a_job_each(fresh: Copy) -> None:
    jobs = plan(fresh, 200)
    assert jobs["assimilate_cell"] == jobs["verify_cell"] == 1000
    # All arms have the same streams.
    assert jobs["analyse_classically"] == 200


def test_five_thousand_cells_share_jobs(fresh: Copy) -> None:
    jobs = plan(fresh, 1000)
    for rule, count in ("assimilate_cell", 5), ("verify_cell", 5), ("analyse_classically", 1):
        made = {name: jobs[name] for name in jobs if name.startswith(rule)}
        assert made == {f"{rule}_noise_{number}": count for number in range(1, 51)}
