#!/usr/bin/env bash
# Installs the robot's service and its CAN links' on this machine, as root.
#
#     scripts/install_service.sh --robot NAME|FILE.toml [--options "--record ..."] [--dry-run]
#
# Makes the user neon-edge, writes /etc/neon-edge/{environment,can.conf} unless they are there,
# installs both units for the neon-edge that stands in PATH, and enables them. Starts nothing.
# --dry-run prints every step and changes nothing.
set -euo pipefail
cd "$(dirname "$0")"

robot=${NEON_EDGE_ROBOT:-}
options=""
dry=false
while (($#)); do
    case $1 in
        --robot) robot=${2:?--robot NAME|FILE.toml}; shift 2 ;;
        --options) options=${2?--options "FLAGS OF run"}; shift 2 ;;
        --dry-run) dry=true; shift ;;
        *) echo "install_service.sh: unknown argument $1" >&2; exit 2 ;;
    esac
done
[[ -n $robot ]] || { echo "install_service.sh: which robot? --robot NAME|FILE.toml" >&2; exit 2; }
program=$(command -v neon-edge) ||
    { echo "install_service.sh: no neon-edge in PATH; pip install it first" >&2; exit 69; }
if ! $dry && ((EUID != 0)); then
    echo "install_service.sh: must be root (or --dry-run)" >&2
    exit 2
fi

step() {
    printf '+ %s\n' "$*"
    $dry || "$@"
}

# TEXT on stdin becomes FILE; an existing FILE stays when it is the user's to edit.
place() {
    local file=$1 keep=${2:-}
    local text
    text=$(cat)
    if [[ -n $keep && -e $file ]]; then
        echo "= $file stays as it is"
        return
    fi
    printf '+ write %s\n' "$file"
    sed 's/^/    /' <<<"$text"
    $dry || printf '%s\n' "$text" >"$file"
}

# The robot file must be good before anything is installed for it.
links=$("$(dirname "$program")/python" - "$robot" <<'PYTHON'
import sys
from neon_edge.config import CanBus, load_robot
for bus in load_robot(sys.argv[1]).buses:
    if isinstance(bus, CanBus) and bus.channel != "sim" and ":" not in bus.channel:
        print(bus.channel, bus.bit_rate, 5_000_000 if bus.fd else "")
PYTHON
)

id neon-edge >/dev/null 2>&1 ||
    step useradd --system --home-dir /var/lib/neon-edge --shell /usr/sbin/nologin neon-edge
step install -d -m 755 /etc/neon-edge /etc/neon-edge/robots /usr/local/lib/neon-edge
step install -d -m 755 -o neon-edge -g neon-edge /var/lib/neon-edge /var/lib/neon-edge/engines
if [[ $robot == *.toml ]]; then
    step install -m 644 "$robot" /etc/neon-edge/robots/
    robot=$(basename "$robot" .toml)
fi
place /etc/neon-edge/environment keep <<END
# What neon-edge.service drives: NAME.toml is looked for in /etc/neon-edge/robots.
NEON_EDGE_ROBOT=$robot
# More flags of \`neon-edge run\`.
NEON_EDGE_OPTIONS=$options
END
if [[ -n $links ]]; then
    place /etc/neon-edge/can.conf keep <<END
# interface  bit/s  [data bit/s of CAN FD]
$links
END
    step install -m 755 setup_can.sh /usr/local/lib/neon-edge/setup_can.sh
fi
sed "s|^ExecStart=/usr/bin/env neon-edge|ExecStart=$program|" neon-edge.service |
    place /etc/systemd/system/neon-edge.service
place /etc/systemd/system/neon-edge-can.service <neon-edge-can.service
step systemctl daemon-reload
step systemctl enable neon-edge-can.service neon-edge.service
echo "start it: systemctl start neon-edge; watch it: systemctl status neon-edge, journalctl -fu neon-edge"
