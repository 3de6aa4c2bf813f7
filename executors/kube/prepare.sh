#!/usr/bin/env bash
# Make the image that these tests load into the cluster: the helper of stages.
#
#   executors/kube/prepare.sh DIRECTORY       writes DIRECTORY/stage.tar
set -euo pipefail

exec "$(dirname "${BASH_SOURCE[0]}")/../../master/clustertest/prepare.sh" "$@"
