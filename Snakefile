"""Omniges: gesture from speech. `snakemake --cores all` runs what is not up to date; see docs/pipeline.md.

dvc.yaml declares dependencies, parameters and outputs; `omniges.cli.planning` compares wanted and sealed keys, brings
earlier results back, and only what is left becomes a job here. So file times decide nothing.
"""

import sys

from snakemake.utils import min_version

sys.path.insert(
    0, workflow.basedir
)  # this checkout's package, wherever another one is installed

from omniges.cli.planning import SnakemakePlan
from omniges.cli.record import after_success, print_failures

min_version("9.0")


report: "workflow/report/run.rst"


plan = SnakemakePlan.of_workflow(workflow)


wildcard_constraints:
    label="[A-Za-z0-9_]+",


rule all:
    default_target: True
    input:
        plan.jobs(),
        # What `snakemake --report` carries; empty in any other run.
        [
            report(
                path,
                caption=f"workflow/report/{kind}.rst",
                category="Evaluation",
                labels={"file": name},
            )
            for path, kind, name in plan.shown()
        ],


# `snakemake wavlm`: the jobs of that stage and of all before it.
for stage in plan.stages:

    rule:
        name:
            stage
        input:
            plan.jobs(stage),


include: "workflow/rules/corpus.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/tokenizers.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/evaluation.smk"


onsuccess:
    after_success(plan)


onerror:
    print_failures()
