#!/usr/bin/env bash
# Draw the cells of an architecture of S1–S5, or the cell of one of NAS-Bench-201.
# Usage: bash visualize.sh ARCHITECTURE [-o cells.svg|.png|.pdf]; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if [[ "${1:-}" == *'|'* || "${1:-}" == *-201-* ]]; then
    run_module nasbench201.visualize "$@"
else
    run_module sota.visualize "$@"
fi
