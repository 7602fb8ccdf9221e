#!/usr/bin/env bash
# SGAS+PT in S1–S5: go on from the warm-up of an SGAS search, choosing each operation by perturbation.
# Usage: bash sgas-proj-sota.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.projection --method sgas "$@"
