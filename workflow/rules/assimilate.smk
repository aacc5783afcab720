"""One cell: an arm at an axis value, all its cases in one job; then its scores, and all cells'.

The classical analyses of a set of streams are made once, for all the arms that have it.
"""


rule assimilate_cell:
    """The ensembles of all cases of a cell."""
    input:
        unpack(cell_inputs),
        test=store("test"),
        test_array=arrays(store("test"))["array"],
        validation=store("validation"),
        validation_array=arrays(store("validation"))["array"],
    output:
        f"{RESULTS}/cells/{{arm}}/{{axis}}-{{value}}/analysis.nc",
    log:
        f"{RESULTS}/logs/assimilate_cell/{{arm}}/{{axis}}-{{value}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/assimilate_cell/{{arm}}/{{axis}}-{{value}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        gpu=1,
    params:
        code=code("assimilate_cell"),
        arm=arm_of,
        axis=axis_settings,
        cases=config["cases"],
        steps=experiment.case_steps(config),
        sampler=sampler_of,
        seed=config["seed"],
        device=config["device"],
    script:
        "../scripts/assimilate_cell.py"


rule analyse_classically:
    """Climatology, interpolation, optimal interpolation and LETKF of all cases of a cell."""
    input:
        unpack(classical_inputs),
        statistics=f"{RESULTS}/statistics.nc",
        train=store("train"),
        train_array=arrays(store("train"))["array"],
        test=store("test"),
        test_array=arrays(store("test"))["array"],
        validation=store("validation"),
        validation_array=arrays(store("validation"))["array"],
    output:
        f"{RESULTS}/classical/{{streams}}/{{axis}}-{{value}}/classical.nc",
    log:
        f"{RESULTS}/logs/analyse_classically/{{streams}}/{{axis}}-{{value}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/analyse_classically/{{streams}}/{{axis}}-{{value}}.tsv"
    conda:
        ENVIRONMENT
    threads: config["threads"]["classical"]
    resources:
        gpu=int(config["classical"]["device"] != "cpu"),
    params:
        code=code("analyse_classically"),
        axis=axis_settings,
        cases=config["cases"],
        steps=experiment.case_steps(config),
        step_hours=experiment.step_hours(config),
        quality={key: config["sampler"][key] for key in ("gross_error", "robust")},
        classical={k: v for k, v in config["classical"].items() if k != "device"},
        seed=config["seed"],
        device=config["classical"]["device"],
    script:
        "../scripts/analyse_classically.py"


rule verify_cell:
    """The scores of a cell, of its analysis and of the classical ones beside it."""
    input:
        unpack(verification_inputs),
        analysis=f"{RESULTS}/cells/{{arm}}/{{axis}}-{{value}}/analysis.nc",
        classical=classical_file,
        statistics=f"{RESULTS}/statistics.nc",
    output:
        f"{RESULTS}/cells/{{arm}}/{{axis}}-{{value}}/scores.parquet",
    log:
        f"{RESULTS}/logs/verify_cell/{{arm}}/{{axis}}-{{value}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/verify_cell/{{arm}}/{{axis}}-{{value}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("verify_cell"),
        period=[t.isoformat() for t in experiment.periods(config)["test"]],
        bootstrap=config["verification"]["bootstrap"],
        block=config["verification"]["block"],
        every=config["verification"]["every"],
        seed=config["seed"],
    script:
        "../scripts/verify_cell.py"


rule merge_scores:
    """One tidy table of every cell."""
    input:
        cell_files("scores.parquet"),
    output:
        f"{RESULTS}/scores.parquet",
    log:
        f"{RESULTS}/logs/merge_scores.log",
    benchmark:
        f"{RESULTS}/benchmarks/merge_scores.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("merge_scores"),
        seed=config["seed"],
    script:
        "../scripts/merge_scores.py"


rule compare_arms:
    """Every arm against the classical analyses and the reference arm, case by case."""
    input:
        scores=f"{RESULTS}/scores.parquet",
    output:
        f"{RESULTS}/comparisons.parquet",
    log:
        f"{RESULTS}/logs/compare_arms.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_arms.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("compare_arms"),
        bootstrap=config["verification"]["bootstrap"],
        block=config["verification"]["block"],
        reference=config["verification"]["reference"],
        seed=config["seed"],
    script:
        "../scripts/compare_arms.py"
