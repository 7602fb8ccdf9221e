#!/usr/bin/env bash
# Repeat records of the authors' own arithmetic in float64; under a minute for the small ones in tests/records.
# Usage: bash parity.sh [FILE …] [--device cuda]: other records, in the format of docs/faithfulness.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module benchmarks.parity "$@"
