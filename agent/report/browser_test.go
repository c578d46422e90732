package report

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// browser is a headless Chromium, spoken to by the DevTools protocol.
type browser struct {
	t       *testing.T
	conn    *websocket.Conn
	session string
	id      int
	events  []event
}

type event struct {
	Method string
	Params json.RawMessage
}

// open starts one on a page, light or dark.
func open(t *testing.T, url string) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		if os.Getenv("REACH64_REQUIRE") == "all" {
			t.Fatal("REACH64_REQUIRE=all, but there is no Chromium")
		}
		t.Skip("no Chromium")
	}
	dir := t.TempDir()
	c := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-extensions",
		"--remote-debugging-port=0", "--remote-allow-origins=*", "--user-data-dir="+dir, "about:blank")
	c.Env = append(os.Environ(), "HOME="+dir)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = c.Process.Kill() // it has ended when it could be asked to
		<-ended
	})
	var port, path string
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); port == ""; {
		select {
		case <-limit:
			t.Fatal("Chromium does not start")
		case <-ended:
			t.Fatal("Chromium ended")
		case <-tick.C:
		}
		if b, err := os.ReadFile(filepath.Join(dir, "DevToolsActivePort")); err == nil {
			port, path, _ = strings.Cut(strings.TrimSpace(string(b)), "\n")
		}
	}
	conn, err := websocket.Dial("ws://127.0.0.1:"+port+path, "", "http://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, conn: conn}
	t.Cleanup(func() {
		// Its helpers write to its folder until it has ended in order.
		_ = websocket.JSON.Send(conn, map[string]any{"id": -1, "method": "Browser.close"})
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
		}
		_ = conn.Close()
	})
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	for _, domain := range []string{"Runtime", "Log", "Page"} {
		b.do(domain+".enable", nil)
	}
	b.do("Page.navigate", map[string]any{"url": url})
	return b
}

// call sends a command and waits for its result. Events that come meanwhile are kept.
func (b *browser) call(session, method string, params any, result any) {
	b.t.Helper()
	b.id++
	m := map[string]any{"id": b.id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if session != "" {
		m["sessionId"] = session
	}
	if err := b.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		b.t.Fatal(err)
	}
	if err := websocket.JSON.Send(b.conn, m); err != nil {
		b.t.Fatal(err)
	}
	for {
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
			event
		}
		if err := websocket.JSON.Receive(b.conn, &answer); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		switch {
		case answer.ID == 0:
			b.events = append(b.events, answer.event)
			continue
		case answer.ID != b.id:
			continue
		case answer.Error != nil:
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(answer.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
}

func (b *browser) do(method string, params any) {
	b.t.Helper()
	b.call(b.session, method, params, nil)
}

// eval evaluates an expression in the page.
func (b *browser) eval(expression string, result any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Text string }
	}
	b.call(b.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%.80s: %s", expression, r.ExceptionDetails.Text)
	}
	if err := json.Unmarshal(r.Result.Value, result); err != nil {
		b.t.Fatalf("%.80s: %v: %s", expression, err, r.Result.Value)
	}
}

// key presses a key.
func (b *browser) key(name string, code int) {
	b.t.Helper()
	text := ""
	if name == "Enter" {
		text = "\r"
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code, "text": text})
	}
}

// contrast finds texts whose contrast with what lies behind them is less than 4.5
// (WCAG 2.2, 1.4.3), as "ratio text".
const contrast = `(() => {
  const rgb = c => c.match(/[\d.]+/g).map(Number);
  const lum = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || ["SCRIPT", "STYLE", "TITLE"].includes(e.tagName.toUpperCase())) continue;
    seen++;
    const svg = e.closest("svg");
    const fore = rgb(svg ? getComputedStyle(e).fill : getComputedStyle(e).color).slice(0, 3);
    const box = svg && e.parentElement.querySelector(".box");
    const back = box ? rgb(getComputedStyle(box).fill).slice(0, 3) : behind(e);
    const [x, y] = [lum(fore), lum(back)].sort((a, b) => b - a);
    const ratio = (x + 0.05) / (y + 0.05);
    if (ratio < 4.5) bad.push(ratio.toFixed(2) + " " + walk.currentNode.data.trim().slice(0, 40));
  }
  return {seen, bad};
})()`

// TestInABrowser: every section is shown, the console is quiet, the keyboard unfolds
// a check, texts have contrast in light and dark, and print shows what is folded.
func TestInABrowser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(write(t, faulty())), 0o644); err != nil {
		t.Fatal(err)
	}
	b := open(t, "file://"+file)
	var ready string
	for range 200 {
		if b.eval("document.readyState + location.protocol", &ready); ready == "completefile:" {
			break
		}
	}
	for _, id := range sections {
		var high float64
		b.eval(fmt.Sprintf("document.getElementById(%q)?.getBoundingClientRect().height ?? 0", id), &high)
		if high < 20 {
			t.Errorf("section %s is %v pixels high", id, high)
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
		var found struct {
			Seen int
			Bad  []string
		}
		b.eval(contrast, &found)
		if found.Seen < 50 || len(found.Bad) > 0 {
			t.Errorf("%s: of %d texts these have too little contrast: %q", scheme, found.Seen, found.Bad)
		}
		var ground string
		b.eval("getComputedStyle(document.body).backgroundColor", &ground)
		t.Logf("%s: %d texts on %s", scheme, found.Seen, ground)
	}

	// Tab leads to the summaries, Enter folds and unfolds.
	var before, after bool
	b.key("Tab", 9)
	var at string
	b.eval("document.activeElement.tagName", &at)
	b.eval("document.activeElement.parentElement.open", &before)
	b.key("Enter", 13)
	b.eval("document.activeElement.parentElement.open", &after)
	if at != "SUMMARY" || before == after {
		t.Errorf("after Tab the focus is on %s; Enter changes open from %v to %v", at, before, after)
	}
	var outline string
	b.eval("getComputedStyle(document.activeElement).outlineStyle", &outline)
	if outline == "none" {
		t.Error("the focus is not seen")
	}
	b.do("Emulation.setEmulatedMedia", map[string]any{"media": "print"})
	var hidden int
	b.eval("[...document.querySelectorAll('#checks li')].filter(e => e.getBoundingClientRect().height === 0).length", &hidden)
	if hidden > 0 {
		t.Errorf("%d lines of evidence are not printed", hidden)
	}
	var wide bool
	b.eval("document.documentElement.scrollWidth <= innerWidth", &wide)
	if !wide {
		t.Error("the page is wider than the window")
	}
	for _, e := range b.events {
		if e.Method == "Runtime.consoleAPICalled" || e.Method == "Runtime.exceptionThrown" || e.Method == "Log.entryAdded" {
			t.Errorf("console: %s %s", e.Method, e.Params)
		}
	}
}
