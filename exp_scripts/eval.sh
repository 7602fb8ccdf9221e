#!/usr/bin/env bash
# Train an architecture from scratch and report its test accuracy.
# Usage: bash eval.sh --arch ARCHITECTURE [--key value]…; --help lists the keys. ARCHITECTURE is of S1–S5 (a published name, a
# genotype file, an experiment) or of NAS-Bench-201 ('|op~0|+|op~0|op~1|+|op~0|op~1|op~2|', an experiment).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module runs training s5 "$@"
