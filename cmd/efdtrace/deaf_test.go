//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"github.com/efd-go/efd/internal/testenv/deafen"
)

// deaf runs efdtrace on a processor whose watchpoints open and never fire, and
// returns what it prints, with single spaces.
func deaf(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	cmd := efdtrace(t, "pingpong 20ms", args...)
	cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1") // its signals would end the waits of the program
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := deafen.Start(cmd)
	if err == nil {
		testenv.Ends(t, cmd, strings.Join(args, " "))
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("efdtrace %v: %v\n%s%.2000s", args, err, stderr.String(), out.String())
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// A processor that is silent is said to be, by every command and in the same
// words, and nothing waits for it.
func TestSilentProcessor(t *testing.T) {
	needRoot(t)
	needPerf(t)
	const why = "watchpoints open, and do not deliver: "
	file := filepath.Join(t.TempDir(), "r.jsonl")
	program := elsewhere(t)
	deaf(t, "run", "-watch", "-o", file, "-format", "recording", "--", program)
	head, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(head), "\n")
	var h struct {
		Recording struct {
			Sources []string
			Facts   map[string]string
		}
	}
	if err := json.Unmarshal([]byte(line), &h); err != nil {
		t.Fatal(err)
	}
	if r := h.Recording; strings.Contains(strings.Join(r.Sources, " "), "watchpoint") || !strings.Contains(r.Facts["without"], why) {
		t.Errorf("the recording's header has the sources %q, and goes on without %q", r.Sources, r.Facts["without"])
	}
	for _, c := range []struct {
		args       []string
		want, none []string
	}{
		{[]string{"doctor"}, []string{"– watchpoints", why, "hypervisor"}, []string{"✓ watchpoints"}},
		{[]string{"verify", "-v", "ppoll"}, []string{"tracepoints", why}, []string{"and watchpoints", "no eventfd was watched"}},
		{[]string{"demo", "ppoll"}, []string{"no eventfd can be watched here: " + why}, nil},
		{[]string{"run", "-watch", "--", program}, []string{"0 eventfds watched, 0 changes", "not observable: changes of eventfds: " + why}, nil},
		{[]string{"run", "-watch", "-format", "jsonl", "--", program}, []string{"not observable: changes of eventfds: " + why}, nil},
		{[]string{"replay", file}, []string{"0 eventfds watched, 0 changes", "not observable: changes of eventfds: " + why}, nil},
	} {
		out := deaf(t, c.args...)
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("efdtrace %v: no %q in\n%s", c.args, w, out)
			}
		}
		for _, n := range c.none {
			if strings.Contains(out, n) {
				t.Errorf("efdtrace %v says %q in\n%s", c.args, n, out)
			}
		}
	}
	var d doctorJSON
	if err := json.Unmarshal([]byte(deaf(t, "doctor", "-json")), &d); err != nil {
		t.Fatal(err)
	}
	for _, tier := range d.Tiers {
		if tier.Name == "watchpoints" && (tier.OK || !tier.Opens || tier.Delivers || tier.Change == "" || !strings.HasPrefix(tier.Missing, why)) {
			t.Errorf("doctor -json: %+v", tier)
		}
	}
	var v verifyJSON
	if err := json.Unmarshal([]byte(deaf(t, "verify", "-json", "ppoll")), &v); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(v.Tier, "watchpoints") || len(v.Unobservable) != 1 || !strings.Contains(v.Unobservable[0], why) {
		t.Errorf("verify -json: tier %q, unobservable %q", v.Tier, v.Unobservable)
	}
}
