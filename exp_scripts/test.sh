#!/usr/bin/env bash
# Run the tests on two cores: `bash exp_scripts/test.sh [PYTEST ARGUMENT…]`.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$PROJECT_ROOT"
prepare_environment requirements.txt requirements-dev.txt
# One thread for each of the two workers and for the commands that they start.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# A worker without tests takes some from the other: tests of a file stay together, with what they share.
run_module pytest -n 2 --dist worksteal "$@"
