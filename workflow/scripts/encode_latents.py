"""Every field's latents, once."""

from datetime import datetime
from pathlib import Path

from slams.autoencoder import encode_store
from slams.job import job
from slams.paper.autoencoder import load_autoencoder
from slams.paper.inputs import read_inputs
from slams.provenance import attributes
from slams.store import Store

with job(snakemake.log[0], snakemake.threads):
    given, channels, encode = snakemake.input, snakemake.params.channels, None
    model, fields = load_autoencoder(given.autoencoder), Store(given.store)
    if channels:
        period = tuple(map(datetime.fromisoformat, snakemake.params.period))
        beside = read_inputs(given.images, channels, period)
        beside.check(fields.times, snakemake.wildcards.split)
        encode = beside.encoder(model)
    encode_store(
        model,
        fields,
        Path(snakemake.output.description),
        attributes(
            snakemake.config,
            snakemake.params.seed,
            [given.store, given.autoencoder, *given.images],
        ),
        encode,
    )
