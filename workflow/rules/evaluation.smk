# What to compare with, what to measure by, and the report.


rule make_baselines:
    input:
        ancient(plan.before("baselines")),
    output:
        plan.mark("baselines"),
    log:
        "reports/logs/baselines.log",
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
    shell:
        plan.command("baselines")


rule train_latent_flow:
    input:
        ancient(plan.before("latent_train")),
    output:
        plan.mark("latent_train"),
    log:
        "reports/logs/latent_train.log",
    # Half of the cores, so that it can run beside other jobs; the model's training takes all of them.
    threads: max(1, (workflow.resource_settings.cores or 8) // 2)
    resources:
        ranks=1,
        mem_mb=16000,
        runtime=4320,
    params:
        launch=plan.launch,
    shell:
        plan.command("latent_train")


rule generate_latent_flow:
    input:
        ancient(plan.before("latent_generate")),
    output:
        plan.mark("latent_generate"),
    log:
        "reports/logs/latent_generate.log",
    threads: max(1, (workflow.resource_settings.cores or 4) // 2)
    resources:
        mem_mb=8000,
        runtime=720,
    shell:
        plan.command("latent_generate")


rule train_embedder:
    input:
        ancient(plan.before("embedder")),
    output:
        plan.mark("embedder"),
    log:
        "reports/logs/embedder.log",
    threads: 1
    resources:
        mem_mb=8000,
        runtime=720,
    shell:
        plan.command("embedder")


rule train_scorer:
    input:
        ancient(plan.before("scorer")),
    output:
        plan.mark("scorer"),
    log:
        "reports/logs/scorer.log",
    threads: 1
    resources:
        mem_mb=8000,
        runtime=720,
    shell:
        plan.command("scorer")


rule write_report:
    input:
        ancient(plan.before("evaluate")),
    output:
        plan.mark("evaluate"),
    log:
        "reports/logs/evaluate.log",
    threads: workflow.resource_settings.cores or 4
    resources:
        mem_mb=16000,
        runtime=720,
    shell:
        plan.command("evaluate")
