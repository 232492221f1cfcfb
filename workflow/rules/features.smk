# Features, one job a shard of clips: Python and torch start once a shard, not once a clip.


rule settle_wavlm:
    input:
        ancient(plan.before("wavlm_encoder")),
    output:
        plan.mark("wavlm_encoder"),
    log:
        "reports/logs/wavlm_encoder.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    shell:
        plan.command("wavlm_encoder")


rule settle_text:
    input:
        ancient(plan.before("text_encoder")),
    output:
        plan.mark("text_encoder"),
    log:
        "reports/logs/text_encoder.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    shell:
        plan.command("text_encoder")


rule extract_motion:
    input:
        ancient(plan.before("motion")),
    output:
        plan.mark("motion"),
    log:
        "reports/logs/motion-{label}.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    shell:
        plan.command("motion")


rule extract_mfcc:
    input:
        ancient(plan.before("mfcc")),
    output:
        plan.mark("mfcc"),
    log:
        "reports/logs/mfcc-{label}.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    shell:
        plan.command("mfcc")


rule extract_wavlm:
    input:
        ancient(plan.before("wavlm")),
    output:
        plan.mark("wavlm"),
    log:
        "reports/logs/wavlm-{label}.log",
    threads: 1
    resources:
        mem_mb=8000,
        runtime=720,
    shell:
        plan.command("wavlm")


rule extract_text:
    input:
        ancient(plan.before("text")),
    output:
        plan.mark("text"),
    log:
        "reports/logs/text-{label}.log",
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
    shell:
        plan.command("text")
