#!/usr/bin/env bash
# Make a page, and figures, from experiment folders.
# Usage: bash report.sh [EXPERIMENT …] [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module report.page "$@"
