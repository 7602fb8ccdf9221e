#!/usr/bin/env bash
# A figure or a table of the paper, or all of them: runs what is missing and draws it.
# Usage: bash paper.sh --figure N | --table N | --all [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module paper "$@"
