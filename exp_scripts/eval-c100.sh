#!/usr/bin/env bash
# Train an architecture of S1–S5 from scratch on CIFAR-100, in the size that Zela et al. use there.
# Usage: bash eval-c100.sh --arch ARCHITECTURE [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.train --script eval-c100 --dataset cifar100 --cutout --auxiliary "$@"
