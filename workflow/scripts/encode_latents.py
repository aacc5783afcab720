"""Every field's latents, once."""

from pathlib import Path

from slams.autoencoder import encode_store
from slams.job import job
from slams.paper.autoencoder import load_autoencoder
from slams.provenance import attributes
from slams.store import Store

with job(snakemake.log[0], snakemake.threads):
    encode_store(
        load_autoencoder(snakemake.input.autoencoder),
        Store(snakemake.input.store),
        Path(snakemake.output.description),
        attributes(
            snakemake.config,
            snakemake.params.seed,
            [snakemake.input.store, snakemake.input.autoencoder],
        ),
    )
