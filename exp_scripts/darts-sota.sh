#!/usr/bin/env bash
# Train a DARTS supernet in one of the spaces S1–S5 (--space, default s5).
# Usage: bash darts-sota.sh [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.train_search --method darts "$@"
