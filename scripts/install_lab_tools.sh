#!/bin/sh
# Installs what the tests in tests/lab and `ww bench` call, from Debian's packages, as far as it is absent.
set -eu

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need ip iproute2
need tc iproute2
need nft nftables
need wg wireguard-tools
need wg-quick wireguard-tools
need ping iputils-ping
need iperf3 iperf3
need perf linux-perf
need gdb gdb
need sysctl procps
need unshare util-linux
need setpriv util-linux
need strace strace
need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static

[ -n "$missing" ] || exit 0
echo "installing:$missing"
root=
[ "$(id -u)" = 0 ] || root="sudo -n"
$root apt-get -q update >/dev/null
# shellcheck disable=SC2086 # a list of names
$root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
