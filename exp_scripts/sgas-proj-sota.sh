#!/usr/bin/env bash
# SGAS+PT in S1–S5: continue an SGAS search from its warm-up, choosing each operation by perturbation.
# Usage: bash sgas-proj-sota.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.projection --method sgas "$@"
