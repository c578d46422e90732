#!/bin/sh
# Installs the programs that the labs test with, on Debian and its kin, as root.
# No service of theirs is started. Does nothing where nothing is missing, and
# says so where it can do nothing; the tests that need a program then skip.
set -eu

# package=program
peers="tayga=tayga nftables=nft unbound=unbound bind9=named bind9-utils=dnssec-signzone bind9-dnsutils=dig radvd=radvd curl=curl iperf3=iperf3
	openssh-client=ssh dropbear-bin=dropbear restic=restic rclone=rclone tcpdump=tcpdump tshark=tshark chromium=chromium iproute2=ip ethtool=ethtool iputils-ping=ping traceroute=traceroute prometheus=prometheus
	mmdebstrap=mmdebstrap systemd-container=systemd-nspawn util-linux=nsenter lintian=lintian rpmlint=rpmlint rpm=rpm shellcheck=shellcheck libarchive-tools=bsdtar
	podman=podman crun=crun yamllint=yamllint ansible-lint=ansible-lint"

PATH=$PATH:/usr/sbin:/sbin
missing=
for peer in $peers; do
	command -v "${peer#*=}" >/dev/null 2>&1 || missing="$missing ${peer%%=*}"
done
if [ -z "$missing" ]; then
	exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "install-peers: not installed:$missing (needs root and apt-get); tests that need them skip"
	exit 0
fi

# invoke-rc.d asks this file whether a service may start; 101 means no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi

echo "install-peers: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing </dev/null >/dev/null
