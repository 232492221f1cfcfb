# Raw clips: made (demo) or somebody else's, then checked one by one.


rule make_corpus:
    input:
        ancient(plan.before("corpus")),
    output:
        plan.mark("corpus"),
    log:
        "reports/logs/corpus.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        plan.command("corpus")


rule check_clips:
    input:
        ancient(plan.before("ingest")),
    output:
        plan.mark("ingest"),
    log:
        "reports/logs/ingest.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        plan.command("ingest")
