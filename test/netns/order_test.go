package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/reach64/reach64/test/bench/load"
)

// TestFlowsKeepTheirOrder sends numbered datagrams of many flows as fast as it goes, and
// gets them back through the CLAT: some are lost, but none passes another of its
// flow, in either direction. (The relay ends flows, and makes new ones.)
func TestFlowsKeepTheirOrder(t *testing.T) {
	for _, datapath := range []string{"bpf", "tun"} {
		t.Run(datapath, func(t *testing.T) {
			need(t)
			l, s := besidePeer(t, datapath)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			l.server.start("serve", "env", roleVariable+"=serve", self, "[::]:7000").waitFor("ready")
			for _, d := range []load.Datagrams{
				{Flows: 1, Size: 64, Batch: 8}, {Flows: 16, Size: 64, Batch: 4}, {Flows: 100, Size: 1000, Batch: 1}, {Flows: 8, Size: 200, Batch: 1, Rate: 5000},
			} {
				d.Addr, d.Long, d.Return = documentation+":7000", time.Second, true
				arg, err := json.Marshal(d)
				if err != nil {
					t.Fatal(err)
				}
				var r load.DatagramsResult
				if out := l.client.must("env", roleVariable+"=datagrams", self, string(arg)); json.Unmarshal([]byte(out), &r) != nil {
					t.Fatalf("the sender printed %q", out)
				}
				t.Logf("%d flows: %d datagrams sent, %d came back, %d late", d.Flows, r.Sent, r.Back, r.Late)
				if r.Back == 0 || r.Late != 0 {
					t.Errorf("%+v: %+v, want datagrams back, none of them late", d, r)
				}
			}
			if st, err := s.status(); err != nil || !carries(st) {
				t.Errorf("after it: %v %s", err, st.text)
			}
		})
	}
}

func playServe(args []string) error {
	if len(args) != 1 {
		return errors.New("want an address")
	}
	fmt.Println("ready")
	return load.Serve(context.Background(), args[0])
}

func playDatagrams(args []string) error {
	var d load.Datagrams
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &d) != nil {
		return errors.New("want a configuration")
	}
	return json.NewEncoder(os.Stdout).Encode(d.Run(context.Background()))
}
