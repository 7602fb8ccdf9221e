#!/usr/bin/env bash
# Train a supernet of S1–S5 by SDARTS-RS (random perturbation of the mixing weights).
# Usage: bash sdarts-rs-sota.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.train_search --method sdarts-rs "$@"
