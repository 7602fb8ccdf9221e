#!/usr/bin/env bash
# Repeat the small records of the authors' own arithmetic (tests/records) in float64; under a minute.
# Usage: bash parity.sh [FILE …] [--device cuda]: further records of yours; docs/faithfulness.md describes the format.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module benchmarks.parity "$PROJECT_ROOT"/tests/records/*.pt "$@"
