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
need setcap libcap2-bin
need strace strace
need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need dbus-daemon dbus-daemon
[ -x /usr/lib/qemu/virtiofsd ] || [ -x /usr/libexec/virtiofsd ] || missing="$missing virtiofsd"

# Not installed, since they take /etc/resolv.conf over, but unpacked for hosts of the lab.
unpacked=$(dirname "$0")/../.cache/lab
absent=
for package in openresolv resolvconf systemd-resolved libsystemd-shared; do
    [ -e "$unpacked/$package" ] || absent="$absent $package"
done

[ -n "$missing$absent" ] || exit 0
root=
[ "$(id -u)" = 0 ] || root="sudo -n"
$root apt-get -q update >/dev/null
# Up to version 7 QEMU brings virtiofsd; then it is no package.
apt-cache show virtiofsd >/dev/null 2>&1 || missing=$(echo "$missing" | sed 's/ virtiofsd//')
if [ -n "$missing" ]; then
    echo "installing:$missing"
    # shellcheck disable=SC2086 # a list of names
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
fi
if [ -n "$absent" ]; then
    echo "unpacking:$absent"
    mkdir -p "$unpacked"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    # shellcheck disable=SC2086 # a list of names
    (cd "$scratch" && apt-get -qq -o APT::Sandbox::User=root download $absent)
    for package in $absent; do
        dpkg-deb -x "$scratch/${package}"_*.deb "$scratch/$package"
        mv "$scratch/$package" "$unpacked/"
    done
fi
