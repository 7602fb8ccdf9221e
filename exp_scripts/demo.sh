#!/usr/bin/env bash
# Try the whole method on the embedded digits, in minutes on a laptop CPU: search, select in two ways, train both, compare.
# Usage: bash demo.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module nasbench201.demo "$@"
