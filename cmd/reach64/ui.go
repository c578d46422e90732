package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/report"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/paths"
)

// uiFlags are the flags of the verb.
type uiFlags struct {
	doctor doctorFlags
	listen string
	quiet  bool
}

// Limits of the page that is kept up to date.
const (
	uiSamples  = 600              // of the status, one a second
	uiEvery    = 30 * time.Second // between the doctor's looks, while somebody watches
	uiIdle     = 15 * time.Second // without a look at the page, the doctor rests
	uiShutdown = time.Second
)

func uiCommand() *cobra.Command {
	var f uiFlags
	c := &cobra.Command{
		Use:   "ui [HOST[:PORT]]",
		Short: "Show the doctor's report in a browser, kept up to date",
		Long: "Serve the doctor's report as a page on a loopback port, and open it in a browser. The address\n" +
			"has a token that works once; who has not used it sees nothing. The page only shows: nothing\n" +
			"can be changed by it. It ends when it is interrupted.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &exit{status.ExitUsage, fmt.Errorf("ui takes one HOST[:PORT] at most, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			f.doctor.named = c.Flags().Changed("config")
			return runUI(c.Context(), c.OutOrStdout(), f, append(args, "")[0])
		},
	}
	f.doctor.from.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.doctor.socket, "socket", paths.Socket(), "control socket of the service")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:0", "loopback address and port, 0 for any")
	fl.BoolVar(&f.quiet, "no-browser", false, "print the address only")
	return c
}

func runUI(ctx context.Context, out io.Writer, f uiFlags, host string) error {
	at, err := netip.ParseAddrPort(f.listen)
	if err != nil || !at.Addr().IsLoopback() {
		return &exit{status.ExitUsage, fmt.Errorf("--listen %q is no loopback address and port such as 127.0.0.1:0", f.listen)}
	}
	if _, err := doctorTargets(readConfig(f.doctor.from).Conf.Servers, host); err != nil {
		return err
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("serve page: %w", err)
	}
	u := newUI(l.Addr().String())
	examineNow := func(ctx context.Context) (diag.Report, error) {
		r, _, err := examine(ctx, f.doctor, host, nil)
		return r, err
	}
	url := "http://" + u.address + "/?token=" + u.token
	fmt.Fprintln(out, url)
	if !f.quiet {
		browse(ctx, url)
	}
	return u.run(ctx, l, examineNow, func(ctx context.Context) []report.Sample { return samples(ctx, f.doctor.socket, 0) })
}

// browse opens the address in the user's browser, if there is one.
func browse(ctx context.Context, url string) {
	for _, program := range [][]string{{"xdg-open", url}, {"open", url}, {"rundll32", "url.dll,FileProtocolHandler", url}} {
		if path, err := exec.LookPath(program[0]); err == nil {
			c := exec.CommandContext(ctx, path, program[1:]...)
			if c.Start() == nil {
				go func() { _ = c.Wait() }() // ends with the opener, or with ctx
				return
			}
		}
	}
}

// ui serves the page. mu guards what is below it.
type ui struct {
	address string
	token   string // opens the door once
	session string // who came in by it

	mu      sync.Mutex
	used    bool
	report  diag.Report
	failed  error
	seen    time.Time // when somebody last looked
	samples []report.Sample
}

func newUI(address string) *ui {
	return &ui{address: address, token: secretWord(), session: secretWord(), seen: time.Now()}
}

func secretWord() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, crypto/rand
	return hex.EncodeToString(b)
}

// run serves until ctx ends. It owns two goroutines, one that examines and one that
// samples, and waits for them.
func (u *ui) run(ctx context.Context, l net.Listener, examine func(context.Context) (diag.Report, error), sample func(context.Context) []report.Sample) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { u.every(ctx, uiEvery, func() { u.look(ctx, examine) }) })
	wg.Go(func() { u.every(ctx, sampleEvery, func() { u.add(sample(ctx)) }) })
	srv := &http.Server{Handler: u, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1) // one value, from the goroutine below
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve page: %w", err)
	case <-ctx.Done():
	}
	stop, end := context.WithTimeout(context.WithoutCancel(ctx), uiShutdown)
	defer end()
	if srv.Shutdown(stop) != nil {
		_ = srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve page: %w", err)
	}
	return nil
}

// every does something now and then again and again until ctx ends, while somebody
// looks at the page.
func (u *ui) every(ctx context.Context, d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		u.mu.Lock()
		idle := time.Since(u.seen) > max(uiIdle, d)
		u.mu.Unlock()
		if !idle {
			do()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (u *ui) look(ctx context.Context, examine func(context.Context) (diag.Report, error)) {
	r, err := examine(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.report, u.failed = r, err
}

func (u *ui) add(s []report.Sample) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.samples = append(u.samples, s...)
	u.samples = u.samples[max(0, len(u.samples)-uiSamples):]
}

// cookie is the name of the cookie that holds the session.
const cookie = "reach64"

// ServeHTTP lets in who has the token, once, and shows the page to who was let in. The
// Host header has to be ours, or a page from elsewhere could ask by another name.
func (u *ui) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	switch {
	case r.Host != u.address:
		http.Error(w, "this page is at http://"+u.address, http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet:
		http.Error(w, "this page only shows", http.StatusMethodNotAllowed)
	case r.URL.Path == "/" && r.URL.Query().Has("token"):
		u.enter(w, r)
	case !u.known(r):
		http.Error(w, "open the address that reach64 ui prints", http.StatusForbidden)
	case r.URL.Path == "/" || r.URL.Path == "/page":
		u.show(w)
	default:
		http.NotFound(w, r)
	}
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (u *ui) enter(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	ok := !u.used && equal(r.URL.Query().Get("token"), u.token)
	u.used = u.used || ok
	u.mu.Unlock()
	if !ok {
		http.Error(w, "this address has been used, or is not the one that reach64 ui printed; start reach64 ui again", http.StatusForbidden)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: u.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (u *ui) known(r *http.Request) bool {
	c, err := r.Cookie(cookie)
	return err == nil && equal(c.Value, u.session)
}

func (u *ui) show(w http.ResponseWriter) {
	u.mu.Lock()
	u.seen = time.Now()
	p := report.Page{At: time.Now(), Version: version, Doctor: u.report, Samples: u.samples, Live: true}
	err := u.failed
	u.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if p.Doctor.Summary == "" {
		p.Doctor.Summary = "Looking; the page renews itself."
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = report.Write(w, p) // the browser has gone, or there is nothing to be done
}
