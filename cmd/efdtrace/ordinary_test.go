//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv/ordinary"
	"golang.org/x/sys/unix"
)

// asOrdinary runs efdtrace as an ordinary user with the privileges that README names.
func asOrdinary(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	u := ordinary.User{UID: ordinary.Fresh() + 2, Caps: []int{unix.CAP_PERFMON, unix.CAP_SYSLOG}, Tracefs: true, Memlock: ordinary.DefaultMemlock}
	cmd := u.Command(t, args...)
	cmd.Env = append(cmd.Env, "EFDTRACE_TEST_PROGRAM=efdtrace pingpong 20ms", "GODEBUG=asyncpreemptoff=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("efdtrace %v: %v\n%s%.2000s", args, err, errs.String(), out.String())
	}
	return out.String(), errs.String()
}

// The privileges that README and doctor name are enough for run, with the limit
// of locked memory that systems set and a user who has locked none.
func TestRunPrivileges(t *testing.T) {
	needRoot(t)
	needPerf(t)
	program := elsewhere(t)
	t.Run("doctor", func(t *testing.T) {
		out, _ := asOrdinary(t, "doctor", "-json")
		var d doctorJSON
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		for _, tier := range d.Tiers {
			switch tier.Name {
			case "own switches", "own threads", "whole system", "names", "payloads", "allocations":
				if !tier.OK {
					t.Errorf("doctor: %+v", tier)
				}
			case "watchpoints":
				if tier.OK || tier.Opens || !strings.Contains(tier.Change, "root") {
					t.Errorf("doctor: %+v", tier)
				}
			}
		}
	})
	t.Run("run", func(t *testing.T) {
		out, stderr := asOrdinary(t, "run", "-watch", "--", program)
		for _, want := range []string{"woke", "through pollwake", "0 eventfds watched, 0 changes"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s%s", want, out, stderr)
			}
		}
	})
	t.Run("verify", func(t *testing.T) {
		out, _ := asOrdinary(t, "verify", "-json", "ppoll")
		var v verifyJSON
		if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Scenarios) != 1 || v.Scenarios[0].Status != "ok" || v.Tier != "tracepoints" {
			t.Errorf("%v: %.1000s", err, out)
		}
	})
}
