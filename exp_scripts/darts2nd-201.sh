#!/usr/bin/env bash
# Train a supernet in the NAS-Bench-201 space by second-order DARTS.
# Usage: bash darts2nd-201.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module nasbench201.train_search --method darts-2nd "$@"
