#!/usr/bin/env bash
# Select an architecture from a DARTS supernet of the NAS-Bench-201 space by perturbation.
# Usage: bash darts-proj-201.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module nasbench201.projection --method darts "$@"
