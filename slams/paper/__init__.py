"""The paper's own method, kept to be measured beside ours: arms with ``recipe: paper``.

Qu, Nathaniel, Li and Gentine (2024, arXiv 2404.06665) sample with score-based data assimilation
(Rozet and Louppe 2023, arXiv 2306.10574): :mod:`schedule` and :mod:`sampler` are theirs,
:mod:`denoiser` predicts the noise as theirs does, :mod:`autoencoder` is the paper's. In its
latent arm the observation is the encoded truth, degraded (:mod:`arms`): an inverse crime, which
says how well the method inverts itself and not how well it would do on observations.

With other data beside the temperature (:mod:`inputs`) these enter through the encoder, at full
resolution. Cases of more steps than a window are put together of windows (:mod:`trajectory`).

What differs from the paper: it is trained by :mod:`slams.training`, whose learning rate falls along
a cosine where the paper's falls linearly, which bounds the gradient's norm, and which keeps the
weights of the lowest validation loss; all fields are conservative means over the same cells; other
data are paired with the fields by date. By default the network is padded as the sphere is and told
latitude and the day of the year, because it learns anomalies, from which neither can be told; an
ensemble is drawn, not one sample; every n-th cell is seen from half a step in, as all arms see it.
`config/paper.yaml` has these the paper's way. Its numbers: :func:`published`.
"""

from slams.paper.wasserstein import published

__all__ = ["published"]
