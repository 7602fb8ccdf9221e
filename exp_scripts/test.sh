#!/usr/bin/env bash
# Run the tests: `bash exp_scripts/test.sh [PYTEST ARGUMENT…]`.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$PROJECT_ROOT"
prepare_environment requirements.txt requirements-dev.txt
run_module pytest "$@"
