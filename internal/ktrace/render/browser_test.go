//go:build linux

package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/testenv"
)

// chromium opens a page without a network and returns what it wrote to its
// standard output and error.
func chromium(t *testing.T, url string, flags ...string) (out, errs string) {
	t.Helper()
	bin, err := exec.LookPath("chromium")
	if err != nil {
		testenv.Require(t, "chromium", errors.New("no chromium in PATH"))
	}
	flags = append([]string{"--headless=new", "--disable-gpu", "--no-sandbox", "--user-data-dir=" + t.TempDir(), "--host-resolver-rules=MAP * ~NOTFOUND",
		"--window-size=1300,1000", "--virtual-time-budget=5000", "--enable-logging=stderr"}, flags...)
	cmd := exec.Command(bin, append(flags, url)...)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, e.String())
	}
	return o.String(), e.String()
}

// browser returns the document as its script has made it and what the script
// complained of.
func browser(t *testing.T, url string, flags ...string) (dom, complaints string) {
	t.Helper()
	dom, errs := chromium(t, url, append(flags, "--dump-dom")...)
	for line := range strings.Lines(errs) {
		if strings.Contains(line, "CONSOLE") {
			complaints += line
		}
	}
	return dom, complaints
}

// pageFile writes the picture's page, with more at its end, into a file.
func pageFile(t *testing.T, more string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte(write(t, "html")+more), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPageInBrowser(t *testing.T) {
	t.Run("looks", testPageLooks)
	t.Run("keys", testPageKeys)
	t.Run("print", testPagePrints)
}

// The page draws itself, opens a call that its address names, and complains of
// nothing, in dark and in light.
func testPageLooks(t *testing.T) {
	file := pageFile(t, "")
	for _, flags := range [][]string{nil, {"--force-dark-mode", "--blink-settings=preferredColorScheme=0"}} {
		dom, complaints := browser(t, "file://"+file+"#call-1", flags...)
		if complaints != "" {
			t.Errorf("the page complains: %s", complaints)
		}
		for _, want := range []string{
			`<svg id="svg"`, `data-i="0"`, `data-i="3"`, `class="wake"`, // the chart
			`<h2>write</h2>`, `class="v seen"`, `class="v tail_call"`, // the open call, its verdicts
			`https://elixir.bootlin.com/linux/v6.18/source/fs/read_write.c#L684`,
			`look here`, `2 records were lost`, `wakes <button>ping 10</button> through pollwake on eventfd 3 (id 7)`,
		} {
			if !strings.Contains(dom, want) {
				t.Errorf("the page has no %s", want)
			}
		}
	}
}

// presses is a script that presses each key and writes, one line per key, what
// the document then shows: the chosen call, its heading, whether a path is
// open, how wide the call is drawn, in whole pixels, and whether it is dark.
const presses = `<pre id="presses"></pre><script>
function shows(key) {
  const sel = document.querySelector(".call.sel"), h = document.querySelector("#detail h2");
  const light = getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).every(v => v > 127);
  document.getElementById("presses").textContent += ["pressed", key, sel ? sel.dataset.i : "none", h ? h.textContent : "none",
    document.querySelector("#detail ul.tree li") ? "open" : "shut", sel ? Math.round(sel.getAttribute("width")) : 0, light ? "light" : "dark"].join(" ") + "\n";
}
shows("nothing");
for (const key of %s) {
  (document.activeElement || document.body).dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  shows(key);
}
</script>`

// Each key that the page names does what the page says.
func testPageKeys(t *testing.T) {
	type state struct {
		key, call, heading, path string
		zoom                     int // how often the width is twice that of all shown
		light                    string
	}
	want := []state{
		{"nothing", "none", "none", "shut", 0, "light"},
		{"ArrowRight", "0", "ppoll", "shut", 0, "light"},
		{"ArrowRight", "2", "read", "shut", 0, "light"},
		{"ArrowRight", "2", "read", "shut", 0, "light"}, // the last of its thread
		{"ArrowLeft", "0", "ppoll", "shut", 0, "light"},
		{"w", "1", "write", "open", 0, "light"}, // the wake's other end
		{"ArrowUp", "2", "read", "shut", 0, "light"},
		{"ArrowDown", "1", "write", "shut", 0, "light"},
		{"Enter", "1", "write", "open", 0, "light"},
		{"+", "1", "write", "open", 1, "light"},
		{"+", "1", "write", "open", 2, "light"},
		{"-", "1", "write", "open", 1, "light"},
		{"0", "1", "write", "open", 0, "light"},
		{"d", "1", "write", "open", 0, "dark"},
		{"d", "1", "write", "open", 0, "light"},
	}
	var keys []string
	for _, s := range want[1:] {
		keys = append(keys, s.key)
	}
	list, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	dom, complaints := browser(t, "file://"+pageFile(t, fmt.Sprintf(presses, list)))
	if complaints != "" {
		t.Errorf("the page complains: %s", complaints)
	}
	var lines []string
	for line := range strings.Lines(dom) {
		if _, after, ok := strings.Cut(line, "pressed "); ok && !strings.Contains(line, "join(") {
			lines = append(lines, after)
		}
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines of keys, want %d: %q", len(lines), len(want), lines)
	}
	whole := map[string]int{} // a call's width when all is shown
	for i, w := range want {
		var g state
		var width int
		if _, err := fmt.Sscan(lines[i], &g.key, &g.call, &g.heading, &g.path, &width, &g.light); err != nil {
			t.Fatalf("line %q: %v", lines[i], err)
		}
		g.zoom = w.zoom
		if g != w {
			t.Errorf("after key %d, %s: %+v, want %+v", i, w.key, g, w)
		}
		if _, ok := whole[w.call]; !ok && w.zoom == 0 {
			whole[w.call] = width
		}
		if full := whole[w.call] << w.zoom; width < full-2<<w.zoom || width > full+2<<w.zoom {
			t.Errorf("after key %d, %s: call %s is %d pixels wide, want about %d", i, w.key, w.call, width, full)
		}
	}
}

// The paper has the threads, all calls and the path that was open, with the
// address of each link, and none of the buttons.
func testPagePrints(t *testing.T) {
	if _, err := exec.LookPath("pdftotext"); err != nil {
		testenv.Require(t, "pdftotext", errors.New("no pdftotext (poppler-utils) in PATH"))
	}
	pdf := filepath.Join(t.TempDir(), "page.pdf")
	chromium(t, "file://"+pageFile(t, "")+"#call-1", "--print-to-pdf="+pdf, "--no-pdf-header-footer")
	text, err := exec.Command("pdftotext", pdf, "-").Output()
	if err != nil {
		t.Fatalf("pdftotext: %v", err)
	}
	paper := strings.Join(strings.Fields(string(text)), " ")
	for _, want := range []string{
		"pings & <pongs>", "ping 10", "ping 11", // the title and the threads
		"ppoll([{fd=3, events=POLLIN}], 1, NULL, NULL, 8) = 1", "what happened", // the list of calls
		"eventfd_write: write(2) on an eventfd", "vfs_write", "__wake_up_locked_key", "tail call", // the open path
		"https://elixir.bootlin.com/linux/v6.18/source/fs/read_write.c#L684", "look here", "2 records were lost",
	} {
		if !strings.Contains(paper, want) {
			t.Errorf("the paper has no %q", want)
		}
	}
	for _, not := range []string{"dark/light", "Keys:"} {
		if strings.Contains(paper, not) {
			t.Errorf("the paper has %q, which is of use on a screen alone", not)
		}
	}
	if t.Failed() {
		t.Logf("the paper:\n%s", text)
	}
}
