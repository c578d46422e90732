package netns

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestMetrics: the real Prometheus scrapes the service on the client and answers what
// the path is; the alert for a server that does not answer fires once it is down.
func TestMetrics(t *testing.T) {
	need(t, "prometheus", "promtool", "curl")
	l := newLab(t, documentation)
	l.embedded("--prefix", ownPrefix)
	l.online()
	s := l.service(documentation, "[metrics]\nlisten = \"127.0.0.1:9464\"\n")
	s.start().up()
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatal(err)
	}
	conf := l.write("prometheus.yml", fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n  - job_name: reach64\n    static_configs: [{targets: [\"127.0.0.1:9464\"]}]\n",
		strings.TrimSpace(string(root))+"/installer/observability/rules.yml"))
	p := l.client.start("prometheus", "prometheus", "--config.file="+conf, "--storage.tsdb.path="+l.file("tsdb"), "--web.listen-address=127.0.0.1:9090")
	ask := func(query string) (map[string]string, error) {
		out, err := l.client.try(5*time.Second, "curl", "-fsS", "http://127.0.0.1:9090/api/v1/query?query="+url.QueryEscape(query))
		if err != nil {
			return nil, err
		}
		var doc struct {
			Data struct {
				Result []struct {
					Metric map[string]string `json:"metric"`
					Value  []any             `json:"value"`
				} `json:"result"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			return nil, err
		}
		got := make(map[string]string)
		for _, r := range doc.Data.Result {
			m := r.Metric
			got[m["path"]+m["class"]+m["server"]+m["alertname"]+m["direction"]] = fmt.Sprint(r.Value[1])
		}
		return got, nil
	}
	wait := func(query, key, want string) {
		t.Helper()
		eventually(t, 30*time.Second, query+" is "+want+" for "+key, func() error {
			got, err := ask(query)
			if err == nil && got[key] != want {
				err = fmt.Errorf("it says %v", got)
			}
			return err
		})
	}
	wait("reach64_path", "clat", "1")
	wait("reach64_class", "v6-only-nat64-dns64", "1")
	wait("reach64_server_reachable", documentation, "1")
	l.works()
	wait(`reach64_bytes_total > bool 0`, "6to4", "1")
	wait(`reach64_clat_up`, "", "1")
	l.turn("nat64 off")
	s.tell(0, "refresh")
	wait("reach64_server_reachable", documentation, "0")
	wait(`sum by (alertname) (ALERTS{alertstate="pending"})`, "Reach64ServerUnreachable", "1")
	out, code, err := runFor(5*time.Second, exec.Command(s.binary, "metrics", "--socket", s.socket))
	if err != nil || code != 0 || !strings.Contains(out.stdout, "reach64_server_reachable{") {
		t.Errorf("reach64 metrics: exit code %d (%v):\n%s", code, err, out.stdout)
	}
	if p.ended() {
		t.Error("prometheus has ended")
	}
}
