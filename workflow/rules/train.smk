"""Autoencoder, latents, priors and observation operators.

Checkpoints lie beside the models and are no outputs: a killed training goes on from them.
"""


rule train_autoencoder:
    """Fields to latents and back."""
    input:
        train=store("train"),
        train_array=arrays(store("train"))["array"],
        validation=store("validation"),
        validation_array=arrays(store("validation"))["array"],
    output:
        model=f"{RESULTS}/models/autoencoder.pt",
        card=f"{RESULTS}/models/autoencoder.json",
        curve=f"{RESULTS}/models/autoencoder.csv",
    log:
        f"{RESULTS}/logs/train_autoencoder.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_autoencoder.tsv"
    conda:
        ENVIRONMENT
    threads: config["threads"]["training"]
    resources:
        **training_resources(),
    params:
        code=code("train_autoencoder"),
        autoencoder=config["autoencoder"],
        seed=config["seed"],
        device=config["device"],
        checkpoints=f"{RESULTS}/models/checkpoints/autoencoder",
    script:
        "../scripts/train_autoencoder.py"


rule train_paper_autoencoder:
    """Fields to latents and back, as the paper has it; the encoder may take more beside them."""
    input:
        train=store("train"),
        train_array=arrays(store("train"))["array"],
        validation=store("validation"),
        validation_array=arrays(store("validation"))["array"],
        train_images=lambda w: encoder_images(w.beside, "train"),
        validation_images=lambda w: encoder_images(w.beside, "validation"),
    output:
        model=f"{RESULTS}/models/paper-autoencoder{{beside}}.pt",
        card=f"{RESULTS}/models/paper-autoencoder{{beside}}.json",
        curve=f"{RESULTS}/models/paper-autoencoder{{beside}}.csv",
    log:
        f"{RESULTS}/logs/train_paper_autoencoder/temperature{{beside}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_paper_autoencoder/temperature{{beside}}.tsv"
    conda:
        ENVIRONMENT
    threads: config["threads"]["training"]
    resources:
        gpu=1,
    params:
        code=code("train_paper_autoencoder"),
        training=config["paper"]["autoencoder"]["training"],
        channels=lambda w: experiment.encoder_inputs(w.beside),
        periods=lambda w: encoder_periods(w.beside),
        seed=config["seed"],
        device=config["device"],
        checkpoints=lambda w: f"{RESULTS}/models/checkpoints/paper-autoencoder{w.beside}",
    script:
        "../scripts/train_paper_autoencoder.py"


rule encode_latents:
    """Every field's latents, once: those of our autoencoder, or of the paper's."""
    input:
        store=f"{RESULTS}/store/{{split}}.nc",
        array=f"{RESULTS}/store/{{split}}.npy",
        autoencoder=lambda w: autoencoder_file(space_of(w.latents)),
        images=lambda w: encoder_images(space_of(w.latents), w.split),
    output:
        description=f"{RESULTS}/{{latents}}/{{split}}.nc",
        array=f"{RESULTS}/{{latents}}/{{split}}.npy",
    log:
        f"{RESULTS}/logs/encode_latents/{{latents}}/{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/encode_latents/{{latents}}/{{split}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("encode_latents"),
        channels=lambda w: experiment.encoder_inputs(space_of(w.latents)),
        period=lambda w: encoder_periods(space_of(w.latents)).get(w.split, []),
        seed=config["seed"],
    script:
        "../scripts/encode_latents.py"


rule train_prior:
    """The diffusion model over windows of fields (pixel) or latents."""
    input:
        unpack(prior_stores),
        statistics=f"{RESULTS}/statistics.nc",
    output:
        model=f"{RESULTS}/models/prior-{{space}}.pt",
        card=f"{RESULTS}/models/prior-{{space}}.json",
        curve=f"{RESULTS}/models/prior-{{space}}.csv",
    log:
        f"{RESULTS}/logs/train_prior/{{space}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_prior/{{space}}.tsv"
    conda:
        ENVIRONMENT
    threads: config["threads"]["training"]
    resources:
        **training_resources(),
    params:
        code=code("train_prior"),
        prior=lambda w: experiment.prior_settings(config, w.space),
        window=config["window"],
        step_hours=experiment.step_hours(config),
        seed=config["seed"],
        device=config["device"],
        checkpoints=lambda w: f"{RESULTS}/models/checkpoints/prior-{w.space}",
    script:
        "../scripts/train_prior.py"


rule fit_stations:
    """The surface regression from the lowest levels to the stations, with its errors."""
    input:
        tables=station_tables("train"),
        store=store("train"),
        array=arrays(store("train"))["array"],
        statistics=f"{RESULTS}/statistics.nc",
    output:
        f"{RESULTS}/operators/stations.nc",
    log:
        f"{RESULTS}/logs/fit_stations.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_stations.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    params:
        code=code("fit_stations"),
        levels_used=config["operators"]["stations"]["levels_used"],
        held_out=config["archives"]["stations"]["held_out"],
        minimum_observations=config["archives"]["stations"]["minimum_observations"],
        spacing=config["grid"]["spacing"],
        seed=config["seed"],
    script:
        "../scripts/fit_stations.py"


rule fit_persistence:
    """What lasts of a field for some steps, and the error of taking it for the present."""
    input:
        store=store("train"),
        array=arrays(store("train"))["array"],
        statistics=f"{RESULTS}/statistics.nc",
    output:
        persistence_file("{value}"),
    log:
        f"{RESULTS}/logs/fit_persistence/{{value}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_persistence/{{value}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("fit_persistence"),
        coarse=config["axes"]["persistence"]["coarse"],
        step_hours=experiment.step_hours(config),
        seed=config["seed"],
    script:
        "../scripts/fit_persistence.py"


rule fit_imagery:
    """The network from profiles to the channels of the imagery, with their errors."""
    input:
        train_images=regridded("imagery", "train"),
        validation_images=regridded("imagery", "validation"),
        train=store("train"),
        train_array=arrays(store("train"))["array"],
        validation=store("validation"),
        validation_array=arrays(store("validation"))["array"],
        statistics=f"{RESULTS}/statistics.nc",
    output:
        model=f"{RESULTS}/operators/imagery.pt",
        card=f"{RESULTS}/operators/imagery.json",
        curve=f"{RESULTS}/operators/imagery.csv",
    log:
        f"{RESULTS}/logs/fit_imagery.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_imagery.tsv"
    conda:
        ENVIRONMENT
    threads: config["threads"]["training"]
    resources:
        **training_resources(),
    params:
        code=code("fit_imagery"),
        imagery=config["operators"]["imagery"],
        channels=config["archives"]["imagery"]["channels"],
        harmonics=config["statistics"]["harmonics"],
        periods={
            split: [t.isoformat() for t in experiment.periods(config)[split]]
            for split in ("train", "validation")
        },
        seed=config["seed"],
        device=config["device"],
        checkpoints=f"{RESULTS}/models/checkpoints/imagery",
    script:
        "../scripts/fit_imagery.py"
