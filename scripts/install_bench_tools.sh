#!/bin/sh
# Installs what `make bench-linux` calls, from Debian's packages, as far as it is absent.
set -eu

"$(dirname "$0")/install_lab_tools.sh"
command -v perf >/dev/null 2>&1 && exit 0
echo "installing: linux-perf"
root=
[ "$(id -u)" = 0 ] || root="sudo -n"
$root apt-get -q update >/dev/null
# Without it all is measured but system calls.
$root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends linux-perf >/dev/null ||
    echo "linux-perf cannot be installed: system calls will not be counted" >&2
