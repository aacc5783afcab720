"""One cell: an arm at an axis value, all its cases in one job; then its scores, and all cells'.

The classical analyses of a set of streams are made once, for all the arms that have it. With
cells_together a job makes all cells of an arm along one or more axes, in which the rule's name ends.
"""

for batch in BATCHES:

    rule:
        """The ensembles of all cases of a cell."""
        name:
            f"assimilate_cell{batch.ending}"
        input:
            unpack(batch.inputs(cell_inputs)),
            test=store("test"),
            test_array=arrays(store("test"))["array"],
            validation=store("validation"),
            validation_array=arrays(store("validation"))["array"],
        output:
            batch.files(f"{RESULTS}/cells/{{arm}}", "analysis.nc"),
        log:
            f"{RESULTS}/logs/assimilate_cell/{{arm}}/{batch.label}.log",
        benchmark:
            f"{RESULTS}/benchmarks/assimilate_cell/{{arm}}/{batch.label}.tsv"
        group:
            batch.group("assimilate_cell")
        conda:
            ENVIRONMENT
        resources:
            **batch.asks("assimilate_cell", gpu=1),
        params:
            code=code("assimilate_cell"),
            arm=batch.of_first(arm_of),
            axes=batch.of_axes(axis_settings),
            cases=config["cases"],
            steps=experiment.case_steps(config),
            sampler=batch.of_first(sampler_of),
            seed=config["seed"],
            device=config["device"],
        script:
            "../scripts/assimilate_cell.py"

    rule:
        """Climatology, interpolation, optimal interpolation and LETKF of all cases of a cell."""
        name:
            f"analyse_classically{batch.ending}"
        input:
            unpack(batch.inputs(classical_inputs)),
            statistics=f"{RESULTS}/statistics.nc",
            train=store("train"),
            train_array=arrays(store("train"))["array"],
            test=store("test"),
            test_array=arrays(store("test"))["array"],
            validation=store("validation"),
            validation_array=arrays(store("validation"))["array"],
        output:
            batch.files(f"{RESULTS}/classical/{{streams}}", "classical.nc"),
        log:
            f"{RESULTS}/logs/analyse_classically/{{streams}}/{batch.label}.log",
        benchmark:
            f"{RESULTS}/benchmarks/analyse_classically/{{streams}}/{batch.label}.tsv"
        group:
            batch.group("analyse_classically")
        conda:
            ENVIRONMENT
        threads: config["threads"]["classical"]
        resources:
            **batch.asks(
                "analyse_classically",
                gpu=int(config["classical"]["device"] != "cpu"),
            ),
        params:
            code=code("analyse_classically"),
            axes=batch.of_axes(axis_settings),
            cases=config["cases"],
            steps=experiment.case_steps(config),
            step_hours=experiment.step_hours(config),
            quality={key: config["sampler"][key] for key in ("gross_error", "robust")},
            classical={k: v for k, v in config["classical"].items() if k != "device"},
            seed=config["seed"],
            device=config["classical"]["device"],
        script:
            "../scripts/analyse_classically.py"

    rule:
        """The scores of a cell, of its analysis and of the classical ones beside it."""
        name:
            f"verify_cell{batch.ending}"
        input:
            unpack(batch.inputs(verification_inputs)),
            statistics=f"{RESULTS}/statistics.nc",
        output:
            batch.files(f"{RESULTS}/cells/{{arm}}", "scores.parquet"),
        log:
            f"{RESULTS}/logs/verify_cell/{{arm}}/{batch.label}.log",
        benchmark:
            f"{RESULTS}/benchmarks/verify_cell/{{arm}}/{batch.label}.tsv"
        group:
            batch.group("verify_cell")
        conda:
            ENVIRONMENT
        resources:
            **batch.asks("verify_cell"),
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
