//go:build linux

package main

import (
	"strings"
	"testing"
)

// Each form says of a softirq that interrupted a thread that it is the waker,
// and names neither the thread nor its call as one.
func TestSoftIRQInEachForm(t *testing.T) {
	const file = "../../internal/ktrace/recorded/testdata/softirq-in-rt_sigreturn.jsonl.gz"
	for format, want := range map[string]string{
		"text":        "a softirq (tcp_receive), which ran in 7556 go, woke 7555 socat in pselect6 through pollwake",
		"jsonl":       `"waker":{"pid":0,"tid":0,"context":"softirq","ran_in":{"pid":7556,"tid":7556,"comm":"go"}}`,
		"folded":      ";process_backlog;__napi_poll;net_rx_action;softirq ",
		"html":        "softirq, which ran in 7556 go",
		"trace-event": `"name":"softirq"`,
	} {
		status, stdout, stderr := invoke(t, "replay", "-format", format, file)
		if status != exitOK {
			t.Fatalf("%s: status %d: %s", format, status, stderr)
		}
		if !strings.Contains(stdout, want) {
			t.Errorf("%s: no %q", format, want)
		}
		for _, wrong := range []string{"in rt_sigreturn", `"syscall":"rt_sigreturn"`, ";rt_sigreturn;go"} {
			if strings.Contains(stdout, wrong) {
				t.Errorf("%s: has %q", format, wrong)
			}
		}
	}
}
