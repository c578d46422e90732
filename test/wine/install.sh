#!/bin/sh
# Makes a Debian 13 tree with Wine 10 and a C compiler for Windows, in which
# test/wine runs the Windows binaries, and prints its folder. Installs what MSIs
# are made, read and signed with. Needs root and Debian's apt; says so where it can
# do nothing, and the tests skip.
#
# The tree lies outside the repository: below $REACH64_TEST_CACHE, else
# /var/cache/reach64-wine. It takes 2 GB and a minute, once. Debian 12's Wine 8
# cannot start a program of Go 1.26.
set -eu

# A new number makes a new tree.
edition=1
packages=wine,wine64,gcc-mingw-w64-x86-64-win32

cache=${REACH64_TEST_CACHE:-/var/cache/reach64-wine}
tree=$cache/wine-$edition
if [ "${1:-}" = --where ]; then
	echo "$tree"
	exit 0
fi

export DEBIAN_FRONTEND=noninteractive
missing=
for program in wixl=wixl msibuild=msitools msiinfo=msitools osslsigncode=osslsigncode; do
	command -v "${program%%=*}" >/dev/null 2>&1 || missing="$missing ${program#*=}"
done
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "install: installing$missing" >&2
	# shellcheck disable=SC2086 # a list of words
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null; } </dev/null ||
		echo "install: could not install$missing; tests of the MSI skip" >&2
elif [ -n "$missing" ]; then
	echo "install: not installed:$missing (needs root and apt-get); tests of the MSI skip" >&2
fi

if [ -e "$tree" ]; then
	echo "$tree"
	exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1 || [ "$(dpkg --print-architecture)" != amd64 ]; then
	echo "install: no tree with Wine (needs root, apt-get and amd64); tests that need it skip" >&2
	exit 0
fi

if ! command -v mmdebstrap >/dev/null 2>&1; then
	apt-get update -qq </dev/null
	apt-get install -y -qq --no-install-recommends mmdebstrap </dev/null >/dev/null
fi

mkdir -p "$cache"
rm -rf "$cache"/wine-* # those of other editions, and of an interrupted run
work=$tree.part
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
echo "install: making $tree" >&2
mmdebstrap --quiet --variant=minbase --include=$packages --aptopt='APT::Install-Recommends "false"' \
	--aptopt='Acquire::Retries "3"' --customize-hook='rm -rf "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/locale' trixie "$work" >&2 </dev/null

# An empty Windows, which each test run gets its own copy of. It is made without a
# display, and without the network that the host has.
unshare --mount --net --pid --fork --propagation private sh -eu -c '
	mount -t proc proc "$1/proc"
	mount --rbind /dev "$1/dev"
	exec chroot "$1" env -i PATH=/usr/bin:/bin HOME=/root WINEPREFIX=/windows WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=" \
		sh -c "wineboot --init && wineserver --wait"' _ "$work" >&2 </dev/null
test -e "$work/windows/system.reg"
mv "$work" "$tree"
echo "$tree"
