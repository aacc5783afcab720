"""Figures and the report."""


wildcard_constraints:
    score="crps|rmse|spread_skill",


rule draw_ablation:
    """A score along every axis, arms beside climatology and interpolation."""
    input:
        scores=f"{RESULTS}/scores.parquet",
    output:
        figure_pair("ablation-{score}", "ablation", "Ablation"),
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


rule draw_profiles:
    """RMSE and spread by level, at the middle value of an axis."""
    input:
        scores=f"{RESULTS}/scores.parquet",
    output:
        figure_pair("profiles-{axis}", "profiles", "Profiles"),
    log:
        f"{RESULTS}/logs/draw_profiles/{{axis}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_profiles/{{axis}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("draw_profiles"),
        arms=list(ARMS),
        value=lambda w: middle_value(w.axis),
    script:
        "../scripts/draw_profiles.py"


rule draw_maps:
    """One moment of an arm: truth, interpolation, analysis, spread and error."""
    input:
        analysis=lambda w: "{}/cells/{}/{}-{}/analysis.nc".format(
            RESULTS, w.arm, *shown_cell(w.arm)
        ),
        mask=land_mask(),
    output:
        figure_pair("maps-{arm}", "maps", "Maps"),
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
        figures=[f"{RESULTS}/figures/{stem}.png" for stem in figures()],
        documents=[f"{RESULTS}/figures/{stem}.pdf" for stem in figures()],
        rejected=rejected_tables(),
        cards=[path.replace(".csv", ".json") for path in loss_curves()],
        inventories=[
            f"{RESULTS}/inventory/{archive}-{year}.json"
            for archive in ("era5", "imagery")
            for year in years(archive)
        ],
        template=os.path.relpath(provenance.PACKAGE / "report_template.html"),
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
        notes=[*config["report"]["notes"], *filter(None, [paper_note()])],
        captions=captions(),
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
