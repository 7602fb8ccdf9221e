#!/usr/bin/env bash
# Repeat small records of the authors' own arithmetic, and two of the textbook's (tests/records), in float64; under a minute.
# Usage: bash parity.sh [FILE …] [--device cuda]: further records of yours; docs/faithfulness.md describes the format.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module benchmarks.parity "$PROJECT_ROOT"/tests/records/*.pt "$@"
