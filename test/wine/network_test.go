package wine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// The network that Windows is in: IPv6 only, with router advertisements, DNS64 and
// NAT64 of reach64-lab, and a backup server that has only IPv4. 198.51.100.0/24 and
// 2001:db8::/32 are for documentation (RFC 5737, RFC 3849).
const (
	netPrefix  = "2001:db8:64:ff9b::/96"
	dnsServer  = "2001:db8:1::1"
	serverName = "backup.example.test"
	serverIPv4 = "198.51.100.10"
	serverPort = "8443"
	serverIPv6 = "2001:db8:64:ff9b::c633:640a" // the server's address in the prefix
)

// routerScript runs in a network namespace of its own, once it is told that the
// other end of the cable is there.
const routerScript = `echo here
read -r _
ip link set lo up
ip address add ` + serverIPv4 + `/32 dev lo
ip link set lan addrgenmode none
ip link set lan up
"$1" backup-server --listen ` + serverIPv4 + `:` + serverPort + ` --name ` + serverName + `,127.0.0.1,` + serverIPv4 + ` --store "$2/store" --ca-out "$2/programs/ca.pem" &
exec "$1" router --link lan --prefix ` + netPrefix + ` --zone ` + serverName + `=` + serverIPv4

// connect puts the machine into its network. The router and the server end with the
// namespace for processes.
func (m *machine) connect(dir string) error {
	router := exec.Command("unshare", "--net", "sh", "-euc", routerScript, "_", filepath.Join(dir, "programs", "reach64-lab"), dir)
	router.Stderr = os.Stderr
	in, err := router.StdinPipe()
	if err != nil {
		return err
	}
	out, err := router.StdoutPipe()
	if err != nil {
		return err
	}
	if err := router.Start(); err != nil {
		return fmt.Errorf("start router: %w", err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return errors.New("start router: it says nothing")
	}
	cable := exec.Command("sh", "-euc", `ip link add eth0 type veth peer name lan netns "$1"
ip link set eth0 up`, "_", strconv.Itoa(router.Process.Pid))
	if text, err := cable.CombinedOutput(); err != nil {
		return fmt.Errorf("connect to router: %w: %s", err, text)
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		return fmt.Errorf("start router: %w", err)
	}
	for waiting := map[string]bool{"ready": true, "ready " + serverIPv4 + ":" + serverPort: true}; len(waiting) > 0; {
		if !lines.Scan() {
			return fmt.Errorf("start router: it ended, %v was still to come", waiting)
		}
		delete(waiting, lines.Text())
	}
	if err := os.WriteFile(filepath.Join(m.root, "etc/resolv.conf"), []byte("nameserver "+dnsServer+"\n"), 0o644); err != nil {
		return fmt.Errorf("set name server: %w", err)
	}
	return m.autoconfigured()
}

// autoconfigured waits until the kernel has an address and a route from the router.
func (m *machine) autoconfigured() error {
	watch := exec.Command("sh", "-euc", `i=0
until ip -6 address show dev eth0 scope global -tentative | grep -q 2001:db8:1: && ip -6 route show default | grep -q via; do
	i=$((i+1)); test $i -lt 100 || { ip -6 address; ip -6 route; exit 1; }
	sleep 0.1
done`)
	if text, err := watch.CombinedOutput(); err != nil {
		return fmt.Errorf("wait for the router's advertisement: %w: %s", err, strings.TrimSpace(string(text)))
	}
	return nil
}
