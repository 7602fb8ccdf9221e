#!/usr/bin/env bash
# Run a plan of searches, selections and trainings on Ray, on this machine or a cluster.
# Usage: bash sweep.sh PLAN.toml|PRESET [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if [[ ! " $* " =~ \ --(dry[_-]run|help)\  ]]; then  # Only a run needs Ray.
    prepare_environment "$PROJECT_ROOT/requirements.txt" "$PROJECT_ROOT/requirements-sweep.txt"
fi
run_module sweep "$@"
