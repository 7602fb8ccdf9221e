#!/usr/bin/env bash
# Train a supernet of S1–S5 by SDARTS-ADV (adversarial perturbation of the mixing weights).
# Usage: bash sdarts-adv-sota.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.train_search --method sdarts-adv "$@"
