//go:build linux

package main

import (
	"encoding/json"
	"os"
	"strings"
)

// total is a line of the file that testsum -report sums up.
type total struct {
	Label                   string
	Passed, Failed, Skipped int
	Skips                   map[string][]string // reason to tests
	Failures                []failure           `json:",omitempty"`
}

type failure struct {
	Name, Output string
}

// failures lists the failed tests and scenarios of a kernel, or else why it was
// lost.
func (r *result) failures() (all []failure) {
	for _, t := range r.Tests {
		if t.Status == statusFailed {
			all = append(all, failure{strings.TrimSpace(t.Name + " " + strings.Join(t.Failed, " ")), t.Output})
		}
	}
	for _, v := range r.Verify {
		if v.Status == statusFailed {
			all = append(all, failure{"scenario " + v.Name, v.Reason})
		}
	}
	if all == nil && r.Status == statusFailed {
		all = append(all, failure{"the guest", r.Reason + "\n" + r.Log})
	}
	return all
}

// total counts a scenario of verify as a test. A kernel that failed otherwise,
// as by hanging, is a failure too.
func (r *result) total() total {
	s := r.sums()
	t := total{Label: r.Kernel, Passed: s.passed + s.ok, Failed: s.failed + s.bad, Skipped: s.skipped + s.left + s.unsure, Skips: map[string][]string{}, Failures: r.failures()}
	if t.Label == "" {
		t.Label = r.Series
	}
	if t.Failed == 0 {
		t.Failed = len(t.Failures)
	}
	if r.Status == statusSkipped {
		t.Skipped++
		t.Skips[r.Reason] = []string{r.Series}
	}
	for _, step := range r.Tests {
		for _, line := range step.Skipped {
			name, why, _ := strings.Cut(line, ": ")
			t.Skips[why] = append(t.Skips[why], name)
		}
	}
	for _, v := range r.Verify {
		if v.Status != statusOK && v.Status != statusFailed {
			t.Skips[v.Reason] = append(t.Skips[v.Reason], "scenario "+v.Name)
		}
	}
	return t
}

// addTo adds a line for each kernel to a file of testsum.
func addTo(file string, results []*result) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for _, r := range results {
		if err := enc.Encode(r.total()); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}
