#!/usr/bin/env bash
# Make a figure or a table of the paper, or all: run what is missing, then draw.
# Usage: bash paper.sh --figure N | --table N | --all [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module paper "$@"
