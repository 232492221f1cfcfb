# Four RVQ-VAEs, the codes they make of every clip, and all that training reads in one place.


rule train_tokenizer:
    input:
        ancient(plan.before("tokenizers")),
    output:
        plan.mark("tokenizers"),
    log:
        "reports/logs/tokenizers-{label}.log",
    threads: 1
    resources:
        mem_mb=8000,
        runtime=1440,
    shell:
        plan.command("tokenizers")


rule encode_clips:
    input:
        ancient(plan.before("codes")),
    output:
        plan.mark("codes"),
    log:
        "reports/logs/codes-{label}.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    shell:
        plan.command("codes")


rule pack_clips:
    input:
        ancient(plan.before("pack")),
    output:
        plan.mark("pack"),
    log:
        "reports/logs/pack.log",
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
    shell:
        plan.command("pack")
