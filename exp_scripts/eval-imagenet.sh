#!/usr/bin/env bash
# Train an architecture of S1–S5 on ImageNet (224 pixels, C=48, L=14, 250 epochs) and report its top-1 and top-5 accuracy.
# Usage: bash eval-imagenet.sh --arch ARCHITECTURE --data DIR [--nproc_per_node GPUS] [--key value]…; --help lists the keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
run_module sota.train_imagenet --auxiliary "$@"
