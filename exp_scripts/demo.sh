#!/usr/bin/env bash
# The paper's claim in minutes on a laptop CPU: select by magnitude and by perturbation from the same supernets, compare.
# Usage: bash demo.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module paper.demo "$@"
