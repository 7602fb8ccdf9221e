#!/usr/bin/env bash
# Select an architecture from a supernet that was trained with alpha fixed, by perturbation.
# Usage: bash blank-proj-201.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module nasbench201.projection --method blank "$@"
