#!/usr/bin/env bash
# Brings CAN links up (or, with --down, down) as a file says, one link a line:
#
#     # interface  bit/s    [data bit/s of CAN FD]
#     can0         1000000
#     can1         1000000  5000000
#
# Sets what `neon-edge doctor` checks: a queue longer than a burst to every motor (the kernel's
# default of 10 frames is not), and a controller that comes back from bus off by itself.
set -euo pipefail

QUEUE=1000
RESTART_MS=100

up=true
if [[ ${1:-} == --down ]]; then
    up=false
    shift
fi
file=${1:?usage: setup_can.sh [--down] FILE}

# A chain of && and not `set -e`, which bash ignores in a function whose outcome is asked for.
bring_up() {
    local link=$1 rate=$2 fd_rate=${3:-}
    local -a timing=(bitrate "$rate")
    [[ -n $fd_rate ]] && timing+=(dbitrate "$fd_rate" fd on)
    timing+=(restart-ms "$RESTART_MS")
    # Reports of single bus errors are wanted, and not every controller has them.
    ip link set "$link" down &&
        { ip link set "$link" type can "${timing[@]}" berr-reporting on ||
            ip link set "$link" type can "${timing[@]}"; } &&
        ip link set "$link" txqueuelen "$QUEUE" &&
        ip link set "$link" up &&
        echo "$link: $rate bit/s${fd_rate:+, FD $fd_rate bit/s}, queue $QUEUE, restart $RESTART_MS ms"
}

failed=0
while read -r link rate fd_rate rest; do
    [[ -z $link || $link == \#* ]] && continue
    if [[ -n $rest || ! $rate =~ ^[0-9]+$ || ! $fd_rate =~ ^[0-9]*$ ]]; then
        echo "setup_can.sh: $file: not INTERFACE BITRATE [DATA_BITRATE]: $link $rate $fd_rate $rest" >&2
        exit 78
    fi
    if $up; then
        # One adapter that is not there must not keep the others down.
        bring_up "$link" "$rate" "$fd_rate" || { echo "setup_can.sh: $link failed" >&2; failed=69; }
    else
        ip link set "$link" down || failed=69
    fi
done <"$file"
exit "$failed"
