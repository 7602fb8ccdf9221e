#!/usr/bin/env bash
# Select an architecture from a supernet that was trained with alpha fixed, by perturbation.
# For a supernet of S1–S5 (with --space, or an experiment of blank-sota.sh) it does what blank-proj-sota.sh does.
# Usage: bash blank-proj-201.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module runs selection nasbench201 --method blank "$@"
