#!/usr/bin/env bash
# Look architectures of NAS-Bench-201 up in the benchmark table, or import a published one.
# Usage: bash table.sh query ARCHITECTURE | top | stats | import FILE [--key value]…; --help lists them.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module nasbench201.table "$@"
