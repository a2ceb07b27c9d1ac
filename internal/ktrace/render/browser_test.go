package render

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/testenv"
)

// browser opens a page in headless Chromium, without a network, and returns
// the document as its script has made it and what the script complained of.
func browser(t *testing.T, url string, flags ...string) (dom, complaints string) {
	t.Helper()
	bin, err := exec.LookPath("chromium")
	if err != nil {
		testenv.Require(t, "chromium", errors.New("no chromium in PATH"))
	}
	flags = append([]string{"--headless=new", "--disable-gpu", "--no-sandbox", "--user-data-dir=" + t.TempDir(), "--host-resolver-rules=MAP * ~NOTFOUND",
		"--window-size=1300,1000", "--virtual-time-budget=5000", "--enable-logging=stderr"}, flags...)
	cmd := exec.Command(bin, append(flags, "--dump-dom", url)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	for line := range strings.Lines(errs.String()) {
		if strings.Contains(line, "CONSOLE") {
			complaints += line
		}
	}
	return out.String(), complaints
}

// The page draws itself, opens a call that its address names, and complains of
// nothing, in dark and in light.
func TestPageInBrowser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte(write(t, "html")), 0o644); err != nil {
		t.Fatal(err)
	}
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
