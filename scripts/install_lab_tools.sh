#!/bin/sh
# Installs what `ww bench` and the tests call, those in tests/lab above all, from Debian's packages, as far as it is
# absent.
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
need nsenter util-linux
need setpriv util-linux
need setcap libcap2-bin
need strace strace
need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need dbus-daemon dbus-daemon
need systemd-analyze systemd
need curl curl
need zsh zsh
need fish fish
need man man-db
need groff groff-base
need chromium chromium
need node nodejs
need npm npm
[ -d /usr/share/fonts/truetype/dejavu ] || missing="$missing fonts-dejavu-core"
[ -x /usr/lib/qemu/virtiofsd ] || [ -x /usr/libexec/virtiofsd ] || missing="$missing virtiofsd"

# Not installed, since they take /etc/resolv.conf over, but unpacked for hosts of the lab.
unpacked=$(dirname "$0")/../.cache/lab
absent=
for package in openresolv resolvconf systemd-resolved libsystemd-shared; do
    [ -e "$unpacked/$package" ] || absent="$absent $package"
done

# Not installed, since they would run as services of this machine.
servers=
for package in postgresql redis-server; do
    [ -e "$unpacked/$package" ] || servers="$servers $package"
done

[ -n "$missing$absent$servers" ] || exit 0
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
# Fetches packages, and lays their files into a folder, which is there as a whole or not at all.
unpack() {
    name=$1
    shift
    echo "unpacking: $name"
    mkdir -p "$unpacked" "$scratch/$name/packages"
    (cd "$scratch/$name/packages" && apt-get -qq -o APT::Sandbox::User=root download "$@")
    for package in "$scratch/$name/packages"/*.deb; do
        dpkg-deb -x "$package" "$scratch/$name/files"
    done
    mv "$scratch/$name/files" "$unpacked/$name"
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for package in $absent; do
    unpack "$package" "$package"
done
for package in $servers; do
    case $package in
    postgresql) wanted=$(apt-cache depends postgresql | sed -n 's/^ *Depends: \(postgresql-[0-9]*\)$/\1/p') ;;
    redis-server) wanted="redis-server redis-tools" ;;
    esac
    # With the libraries that this machine lacks; the one that compiles queries is large, and done without.
    # shellcheck disable=SC2086 # a list of names
    found=$(apt-get -s install --reinstall --no-install-recommends $wanted |
        awk '$1 == "Inst" && $2 ~ /^(lib|postgresql-[0-9]|redis-)/ && $2 !~ /^libllvm/ { print $2 }')
    # shellcheck disable=SC2086 # a list of names
    unpack "$package" $found
done
