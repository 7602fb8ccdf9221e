#!/usr/bin/env bash
# Select an architecture from a DARTS supernet of S1–S5 by perturbation.
# Usage: bash darts-proj-sota.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.projection --method darts "$@"
