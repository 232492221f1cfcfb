# The audio-to-gesture model, and what it makes of the test clips.


rule train_model:
    input:
        ancient(plan.before("train")),
    output:
        plan.mark("train"),
    log:
        "reports/logs/train.log",
    threads: workflow.resource_settings.cores or 8
    resources:
        ranks=1,
        mem_mb=16000,
        runtime=4320,
    params:
        launch=plan.launch,
    shell:
        plan.command("train")


rule generate_gestures:
    input:
        ancient(plan.before("generate")),
    output:
        plan.mark("generate"),
    log:
        "reports/logs/generate.log",
    threads: workflow.resource_settings.cores or 4
    resources:
        mem_mb=8000,
        runtime=720,
    shell:
        plan.command("generate")
