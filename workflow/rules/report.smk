"""Figures and the report."""


wildcard_constraints:
    score="|".join(SCORES),


rule draw_ablation:
    """A score along every axis, averaged and level by level, arms beside classical analyses."""
    input:
        scores=f"{RESULTS}/scores.parquet",
        paper=paper_distances(),
    output:
        averaged=figure_pair("ablation-{score}", "ablation", "Ablation"),
        levels=figure_pair("levels-{score}", "ablation", "Ablation"),
    log:
        f"{RESULTS}/logs/draw_ablation/{{score}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_ablation/{{score}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_ablation"),
        arms=list(ARMS),
    script:
        "../scripts/draw_ablation.py"


rule draw_comparisons:
    """Every arm against optimal interpolation and the reference arm, on the same cases."""
    input:
        comparisons=f"{RESULTS}/comparisons.parquet",
    output:
        figure_pair("comparisons", "comparisons", "Ablation"),
    log:
        f"{RESULTS}/logs/draw_comparisons.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_comparisons.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_comparisons"),
        arms=list(ARMS),
    script:
        "../scripts/draw_comparisons.py"


rule draw_cells:
    """Profiles, rank histograms and spectra of all arms at the middle value of an axis."""
    input:
        scores=f"{RESULTS}/scores.parquet",
    output:
        **{
            kind: figure_pair(f"{kind}-{{axis}}", kind, "Calibration")
            for kind in cell_figures()
        },
    log:
        f"{RESULTS}/logs/draw_cells/{{axis}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_cells/{{axis}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_cells"),
        arms=list(ARMS),
        value=lambda w: middle_value(w.axis),
    script:
        "../scripts/draw_cells.py"


rule draw_maps:
    """One moment of an arm: truth, background, analyses, spread, error; and the increments."""
    input:
        unpack(shown_files),
        mask=land_mask(),
    output:
        maps=figure_pair("maps-{arm}", "maps", "Maps"),
        increments=figure_pair("increments-{arm}", "increments", "Maps"),
    log:
        f"{RESULTS}/logs/draw_maps/{{arm}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_maps/{{arm}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_maps"),
    script:
        "../scripts/draw_maps.py"


rule draw_series:
    """An arm's ensemble over time at one place, and at a station held out there."""
    input:
        unpack(shown_files),
        **place_files(),
    output:
        figure_pair("series-{arm}", "series", "Maps"),
    log:
        f"{RESULTS}/logs/draw_series/{{arm}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_series/{{arm}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_series"),
        arms=list(ARMS),
        place=config["report"]["place"],
    script:
        "../scripts/draw_series.py"


rule draw_animation:
    """One window of an arm in motion, and its first step as a still."""
    input:
        unpack(shown_files),
        mask=land_mask(),
    output:
        still=figure_pair("animation-{arm}", "animation", "Maps"),
        film=f"{RESULTS}/figures/animation-{{arm}}.gif",
    log:
        f"{RESULTS}/logs/draw_animation/{{arm}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_animation/{{arm}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_animation"),
    script:
        "../scripts/draw_animation.py"


rule check_operators:
    """Residuals of the fitted observation operators in the validation period."""
    input:
        **checked_files(),
        store=store("validation"),
        array=arrays(store("validation"))["array"],
        statistics=f"{RESULTS}/statistics.nc",
    output:
        f"{RESULTS}/operators/residuals.parquet",
    log:
        f"{RESULTS}/logs/check_operators.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_operators.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("check_operators"),
        step_hours=experiment.step_hours(config),
        gross_error=config["sampler"]["gross_error"],
        seed=config["seed"],
    script:
        "../scripts/check_operators.py"


rule draw_operators:
    """Is the error that each observation operator claims the one it makes?"""
    input:
        residuals=f"{RESULTS}/operators/residuals.parquet",
    output:
        figure_pair("operators", "operators", "Data"),
    log:
        f"{RESULTS}/logs/draw_operators.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_operators.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_operators"),
    script:
        "../scripts/draw_operators.py"


rule draw_losses:
    """The loss curves of every network."""
    input:
        curves=loss_curves(),
    output:
        figure_pair("losses", "losses", "Training"),
    log:
        f"{RESULTS}/logs/draw_losses.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_losses.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_losses"),
    script:
        "../scripts/draw_losses.py"


rule draw_climate:
    """Zonal-mean temperature of the training period."""
    input:
        statistics=f"{RESULTS}/statistics.nc",
    output:
        figure_pair("climate", "climate", "Data"),
    log:
        f"{RESULTS}/logs/draw_climate.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_climate.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_climate"),
    script:
        "../scripts/draw_climate.py"


rule draw_stations:
    """Where stations report, and why rows were rejected."""
    input:
        tables=station_tables(),
        rejected=rejected_tables(),
        mask=land_mask(),
    output:
        figure_pair("stations", "stations", "Data"),
    log:
        f"{RESULTS}/logs/draw_stations.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_stations.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_stations"),
    script:
        "../scripts/draw_stations.py"


rule write_report:
    """One page with everything, that opens offline."""
    input:
        scores=f"{RESULTS}/scores.parquet",
        comparisons=f"{RESULTS}/comparisons.parquet",
        residuals=residual_table(),
        cells=cell_files("analysis.nc"),
        figures=[f"{RESULTS}/figures/{stem}.png" for stem in figures()],
        documents=[f"{RESULTS}/figures/{stem}.pdf" for stem in figures()],
        films=f"{RESULTS}/figures/animation-{animated_arm()}.gif",
        rejected=rejected_tables(),
        cards=[path.replace(".csv", ".json") for path in loss_curves()],
        inventories=[
            f"{RESULTS}/inventory/{archive}-{year}.json"
            for archive in ("era5", "imagery")
            for year in years(archive)
        ],
        templates=[
            os.path.relpath(path)
            for path in sorted((provenance.PACKAGE / "report" / "templates").iterdir())
        ],
    output:
        page=report(
            f"{RESULTS}/report.html", caption="../report/scores.rst", category="Report"
        ),
    log:
        f"{RESULTS}/logs/write_report.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_report.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("write_report"),
        name=config["name"],
        notes=[
            *config["report"]["notes"],
            *experiment.caveats(config),
            *filter(None, [paper_note()]),
        ],
        figures=described_figures(),
        benchmarks=f"{RESULTS}/benchmarks",
        seed=config["seed"],
    script:
        "../scripts/write_report.py"


rule write_provenance:
    """The chain from every figure, table and page to the raw files, with hashes and versions."""
    input:
        report=f"{RESULTS}/report.html",
        scores=f"{RESULTS}/scores.parquet",
        figures=[
            f"{RESULTS}/figures/{stem}.{kind}"
            for stem in figures()
            for kind in ("png", "pdf")
        ],
    output:
        f"{RESULTS}/provenance.txt",
    log:
        f"{RESULTS}/logs/write_provenance.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_provenance.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("write_provenance"),
    script:
        "../scripts/write_provenance.py"
