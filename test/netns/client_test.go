package netns

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// url is the web server's, by its IPv4 address.
func (l *lab) url(path string) string {
	return "https://" + net.JoinHostPort(l.server4.String(), strconv.Itoa(webPort)) + path
}

// curl asks the web server over IPv4 alone and returns what it said.
func (l *lab) curl(limit time.Duration, args ...string) (string, error) {
	return l.client.try(limit+2*time.Second, "curl", append([]string{"-4", "-sS", "--fail", "--noproxy", "*",
		"--cacert", l.ca, "--max-time", strconv.Itoa(int(limit.Seconds()))}, args...)...)
}

// ping sends 3 echo requests over IPv4.
func (l *lab) ping(args ...string) (string, error) {
	return l.client.try(8*time.Second, "ping", append(append([]string{"-4", "-n", "-c", "3", "-i", "0.2", "-W", "2"}, args...), l.server4.String())...)
}

// fails is the positive control: without reach64 the same clients do not reach
// the server.
func (l *lab) fails() {
	l.t.Helper()
	if out, err := l.curl(3*time.Second, l.url("/")); err == nil {
		l.t.Fatalf("curl reached the server without reach64: %s", out)
	}
	if out, err := l.ping(); err == nil {
		l.t.Fatalf("ping reached the server without reach64: %s", out)
	}
}

// works wants curl and ping to reach the server, by address and by name.
func (l *lab) works() {
	l.t.Helper()
	for _, url := range []string{l.url("/5"), strings.Replace(l.url("/5"), l.server4.String(), serverName, 1)} {
		out, err := l.curl(10*time.Second, url)
		if err != nil {
			l.t.Errorf("%s: %v", url, err)
		} else if len(out) != 5 {
			l.t.Errorf("%s: %d bytes, want 5", url, len(out))
		}
	}
	if _, err := l.ping(); err != nil {
		l.t.Error(err)
	}
}

// transfers sends and fetches n bytes in one connection each.
func (l *lab) transfers(n int64) {
	l.t.Helper()
	file := l.file("upload")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Truncate(file, n); err != nil {
		l.t.Fatal(err)
	}
	if out, err := l.curl(15*time.Second, "-T", file, l.url("/upload")); err != nil || out != strconv.FormatInt(n, 10) {
		l.t.Errorf("upload of %d bytes: %v, the server got %q", n, err, out)
	}
	out, err := l.curl(15*time.Second, "-o", os.DevNull, "-w", "%{size_download}", l.url("/"+strconv.FormatInt(n, 10)))
	if err != nil || out != strconv.FormatInt(n, 10) {
		l.t.Errorf("download of %d bytes: %v, got %q", n, err, out)
	}
}

// iperf measures one TCP stream for 2 s and returns what arrived, in bits per
// second.
func (l *lab) iperf(args ...string) (float64, error) { return l.client.iperf(args...) }

// iperf is that of another namespace.
func (s *space) iperf(args ...string) (float64, error) {
	out, err := s.try(15*time.Second, "iperf3", append([]string{"-J", "-t", "2", "--connect-timeout", "3000"}, args...)...)
	if err != nil {
		return 0, err
	}
	var doc struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		return 0, fmt.Errorf("read what iperf3 printed: %w: %s", err, out)
	}
	return doc.End.Received.Rate, nil
}

// restic is the backup client, with an IPv4 address as its server unless
// l.repository says otherwise.
func (l *lab) restic(limit time.Duration, args ...string) (string, error) {
	repo := l.repository
	if repo == "" {
		repo = "rest:http://" + net.JoinHostPort(l.server4.String(), strconv.Itoa(resticPort)) + "/"
	}
	return l.client.try(limit, "env", append([]string{"RESTIC_PASSWORD=lab", "restic", "--no-cache", "-r", repo}, args...)...)
}

// backupServer starts rclone's server for restic.
func (l *lab) backupServer() {
	l.t.Helper()
	l.server.start("rclone", "rclone", "--config", l.file("rclone.conf"), "serve", "restic",
		"--addr", net.JoinHostPort(l.server4.String(), strconv.Itoa(resticPort)), l.file("repository")).waitFor("Serving")
}

// backUp saves n random bytes, restores them, and compares.
func (l *lab) backUp(n int64) {
	t := l.t
	t.Helper()
	source, target := l.file("source"), l.file("target")
	if err := makeFiles(source, n, 20); err != nil {
		t.Fatal(err)
	}
	for _, step := range [][]string{{"init"}, {"backup", source}, {"restore", "latest", "--target", target}} {
		begin := time.Now()
		if _, err := l.restic(time.Minute, step...); err != nil {
			t.Fatal(err)
		}
		t.Logf("restic %s: %v", step[0], time.Since(begin).Round(10*time.Millisecond))
	}
	want, err := sums(source)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sums(filepath.Join(target, source))
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != 20 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("restored files differ:\ngot  %v\nwant %v", got, want)
	}
}

// makeFiles writes total bytes that do not compress into count files.
func makeFiles(dir string, total int64, count int) error {
	random := rand.NewChaCha8([32]byte{64})
	for i := range count {
		path := filepath.Join(dir, strconv.Itoa(i%4), strconv.Itoa(i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.CopyN(f, random, total/int64(count))
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sums returns the SHA-256 of each file below dir.
func sums(dir string) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		out[name] = fmt.Sprintf("%x", h.Sum(nil))
		return err
	})
	return out, err
}
