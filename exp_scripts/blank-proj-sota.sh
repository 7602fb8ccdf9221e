#!/usr/bin/env bash
# Select an architecture from a supernet of S1–S5 that was trained with alpha fixed, by perturbation.
# Usage: bash blank-proj-sota.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.projection --method blank "$@"
