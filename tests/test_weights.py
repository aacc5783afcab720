"""Weights are files whose bytes say what they hold and nothing else."""

import torch

from slams import weights


def test_equal_states_are_equal_files_whatever_their_names(tmp_path):
    state = {"weights": {"a": torch.arange(5.0)}, "step": 3}
    for name in ("one.pt", ".two.partial-1234.pt"):
        weights.save(state, tmp_path / name)
    one, two = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert one == two
    read = torch.load(tmp_path / "one.pt", weights_only=True)
    assert read["step"] == 3 and torch.equal(read["weights"]["a"], torch.arange(5.0))
