#!/usr/bin/env bash
# Select an architecture from a supernet of S1–S5 by perturbation, tuning it by SDARTS-ADV.
# Usage: bash sdarts-adv-proj-sota.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.projection --method sdarts-adv "$@"
