"""A training in two processes, from Snakemake to the model."""

import json
import shutil

import torch
from working_copy import Copy

MODEL = "results/tiny/models/prior-pixel.pt"
KEYS = {"device": "cpu", "trainer": {"devices": 2}}


def test_a_training_in_two_processes(finished: Copy) -> None:
    one = torch.load(finished / MODEL, weights_only=True)["weights"]
    shutil.rmtree(finished / "results/tiny/models/checkpoints")
    # How many train is nothing that a finished model depends on.
    assert finished.plan(MODEL, keys={"trainer": {"devices": 2}}) == {}
    few = finished.snakemake(MODEL, "--resources", "gpu=1", keys=KEYS)
    assert few.status != 0
    assert "error: trainer.devices is 2, and this call may take gpu=1" in few.text
    call = finished.snakemake(MODEL, "--forcerun", "train_prior", keys=KEYS)
    assert call.status == 0, call.text
    card = json.loads((finished / MODEL).with_suffix(".json").read_text())
    assert card["processes"] == 2 and card["device"].startswith("cpu, ")
    two = torch.load(finished / MODEL, weights_only=True)["weights"]
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)
    folder = finished / "results/tiny/logs/train_prior"
    for name in ("pixel.log", "pixel.log.rank1"):
        assert "step 20 of 20: " in (folder / name).read_text()
