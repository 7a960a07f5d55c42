#!/usr/bin/env bash
# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
# Usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: [NNODES= NODE_RANK= PORT= MASTER_ADDR=] $0 CONFIG CHECKPOINT GPUS" \
        "[arguments of test.py]" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
NNODES=${NNODES:-1}
NODE_RANK=${NODE_RANK:-0}
PORT=${PORT:-29500}
MASTER_ADDR=${MASTER_ADDR:-"127.0.0.1"}

export PYTHONPATH="$(dirname "$0")/..:${PYTHONPATH:-}"
# exec: a signal to this script reaches the launcher, which hands it on to the processes.
exec python -m nasiam_mm.cli.launch \
    --nnodes="$NNODES" \
    --node_rank="$NODE_RANK" \
    --master_addr="$MASTER_ADDR" \
    --nproc_per_node="$GPUS" \
    --master_port="$PORT" \
    "$(dirname "$0")/test.py" \
    "$CONFIG" \
    "$CHECKPOINT" \
    --launcher pytorch "${@:4}"
