package main

import (
	"slices"
	"testing"
	"time"
)

func TestFlags(t *testing.T) {
	tests := []struct {
		args   []string
		rounds int
		long   time.Duration
		only   []string
		bad    bool
	}{
		{nil, 5, 3 * time.Second, nil, false},
		{[]string{"-quick"}, 2, time.Second, nil, false},
		{[]string{"-quick", "-rounds", "7", "-only", "udp,tcp-4"}, 7, time.Second, []string{"udp", "tcp-4"}, false},
		{[]string{"more"}, 0, 0, nil, true},
	}
	for _, tt := range tests {
		o, err := parse(tt.args)
		if (err != nil) != tt.bad {
			t.Errorf("%v: error %v", tt.args, err)
		}
		if !tt.bad && (o.rounds != tt.rounds || o.long != tt.long || !slices.Equal(o.only, tt.only)) {
			t.Errorf("%v: %+v", tt.args, o)
		}
	}
}

func TestWhatTheSystemPrints(t *testing.T) {
	ping := "PING 198.51.100.10 (198.51.100.10) 56(84) bytes of data.\n" +
		"64 bytes from 198.51.100.10: icmp_seq=1 ttl=63 time=0.300 ms\n" +
		"64 bytes from 198.51.100.10: icmp_seq=2 ttl=63 time=1.45 ms\n" +
		"\n--- 198.51.100.10 ping statistics ---\n2 packets transmitted, 2 received, 0% packet loss, time 201ms\n"
	if got := parsePing(ping); !slices.Equal(got, []float64{300, 1450}) {
		t.Errorf("ping: %v", got)
	}
	snmp := "Ip6InReceives                   \t68350\nUdp6InDatagrams                 \t17\nUdp6RcvbufErrors                \t4\n"
	if in, lost, none := parseSNMP6(snmp, "Udp6InDatagrams"), parseSNMP6(snmp, "Udp6RcvbufErrors"), parseSNMP6(snmp, "Udp6"); in != 17 || lost != 4 || none != 0 {
		t.Errorf("snmp6: %d, %d, %d", in, lost, none)
	}
	if got := parseSchedstat("1500000000 20 3\n"); got != 1500*time.Millisecond {
		t.Errorf("schedstat: %v", got)
	}
}

func TestReasonsOfALog(t *testing.T) {
	for line, want := range map[string]string{
		`reach64: path.datapath: "bpf" is none of auto, tun`:                          `reach64: path.datapath: "bpf" is none of auto, tun`,
		`time="2026-11-28T07:53:45Z" level=error msg="set up CLAT" error="no memory"`: "no memory",
		`time="2026-11-28T07:53:45Z" level=info msg="CLAT taken down"`:                "CLAT taken down",
	} {
		if got := reason(line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestExpectedVerdicts(t *testing.T) {
	for name, want := range map[string]bool{"4to6-translated": true, "6to4-bytes": true, "ingress-redirected": true, "ingress-neighbour-discovery": true,
		"steer-4to6-left-to-keep-order": true, "udp-opened": true, "tcp-refused": false,
		"4to6-dropped-fragmented-icmp": false, "write-errors": false, "redirect-failed": false, "4to6-answered-too-big": false} {
		if got := expected(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
