#!/usr/bin/env bash
# Search in S1–S5 by SGAS (criterion 1), which decides edges during the search.
# Usage: bash sgas-sota.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.train_search --method sgas "$@"
