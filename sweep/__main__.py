"""`python -m sweep PLAN`: run a plan of searches, selections and trainings on Ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError, in_range, positive
from darts_pt.run.provenance import PROJECT_ROOT


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Run a plan: spaces × data sets × methods × selections × seeds, as searches, selections, trainings and a report.

    Jobs run as Ray tasks, on this machine or a cluster. Finished jobs are not run again and interrupted ones continue from
    their checkpoints, so the same command continues a sweep. docs/scale.md describes plans.
    """

    plan: Annotated[str, tyro.conf.arg(metavar="PLAN"), tyro.conf.Positional]
    """A plan (TOML), or a preset: digits (minutes on a laptop), table2, table3, table4 (the paper's)."""
    dry_run: bool = False
    """Print the jobs, with the time of those that are like finished experiments; run nothing. Does not need Ray."""
    address: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """A Ray cluster to run on: auto (the one this machine belongs to), HOST:PORT, or ray://HOST:PORT. By default Ray is
    started on this machine."""
    gpus_per_job: Annotated[float | None, tyro.conf.arg(metavar="GPUS")] = None
    """GPUs per job, 0 to 1; with a fraction several jobs share a GPU. By default the plan's number, or one if there are
    GPUs."""
    cpus_per_job: Annotated[float | None, tyro.conf.arg(metavar="CPUS")] = None
    """CPUs per job, and its threads. By default the plan's number, or one."""
    num_cpus: Annotated[int | None, tyro.conf.arg(metavar="CPUS")] = None
    """Without --address: CPUs of this machine to use; by default all."""
    max_retries: int = 3
    """Retries per job, after its worker or node was lost or a signal ended it."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """Folder for the experiments; every node must see it under this path."""
    data_root: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "data"
    """Folder of the data sets and benchmark files; also under this path on every node."""
    model_gpus: tuple[int, ...] = ()
    """For --dry_run: estimate the time of the sweep on this many GPUs; several numbers can be given."""
    gpu_hour_price: Annotated[float | None, tyro.conf.arg(metavar="PRICE")] = None
    """For --dry_run: the price of a GPU per hour, in any currency."""

    def __post_init__(self) -> None:
        in_range("gpus_per_job", self.gpus_per_job, 0, 1)
        in_range("max_retries", self.max_retries, 0, 1000)
        for name in ("cpus_per_job", "num_cpus", "gpu_hour_price"):
            positive(name, getattr(self, name))
        for count in self.model_gpus:
            positive("model_gpus", count)
        if self.num_cpus is not None and self.address is not None:
            raise UserError("--num_cpus is for Ray on this machine; a cluster at --address has its own")
        if not self.dry_run and (self.model_gpus or self.gpu_hour_price is not None):
            raise UserError("--model_gpus and --gpu_hour_price go with --dry_run")


def main(options: SweepOptions) -> None:
    """Expand the plan, then show or run it. The exit code is 1 if jobs have failed."""
    from sweep.cluster import connected, import_ray
    from sweep.jobs import expand
    from sweep.plan import find_plan, read_plan

    plan = read_plan(find_plan(options.plan))
    output = options.experiments / "sweeps" / plan.name
    if not options.dry_run:
        import_ray()
    graph = expand(plan, options.experiments, options.data_root, output)
    if options.dry_run:
        from sweep.dry_run import show

        show(graph, options.experiments, options.gpus_per_job, options.model_gpus, options.gpu_hour_price)
        return
    from sweep import results
    from sweep.driver import run
    from sweep.status import Status

    ray_log = output / "logs" / "ray.log"
    with Status(graph) as status, connected(options.address, options.num_cpus, ray_log) as ray:
        outcomes = run(graph, ray, status, options.cpus_per_job, options.gpus_per_job, options.max_retries)
    print(f"\n{results.markdown(results.rows(graph))}\n\nresults: {results.write(graph)}")
    if "report" in outcomes and outcomes["report"].state == "done":
        print(f"report: {graph.output / 'report' / 'index.html'}")
    bad = [outcomes[job.name] for job in graph.jobs if outcomes[job.name].state != "done"]
    if bad:
        failed = sum(outcome.state == "failed" for outcome in bad)
        print(f"\n{failed} of {len(graph.jobs)} jobs failed, {len(bad) - failed} were skipped because of them:")
        for outcome in bad:
            print(f"  {outcome.state} {outcome.job}: {outcome.reason}")
            if outcome.state == "failed":
                print(f"    log: {graph.output / 'logs' / outcome.job}.log")
        raise SystemExit(1)


if __name__ == "__main__":
    run_command(SweepOptions, main)
