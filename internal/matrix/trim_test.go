//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/scenario/lab"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
)

// A trimmed recording gives every edge the verdict that the whole one gives it.
func TestTrim(t *testing.T) {
	const golden = "../../testdata/matrix/5.10.262.jsonl.gz"
	testenv.Tree(t, "../../testdata/matrix")
	dir := t.TempDir()
	whole, small := filepath.Join(dir, "whole.jsonl"), filepath.Join(dir, "small.jsonl.gz")
	entries := repeat(t, golden, whole, 3)
	if err := trim(whole, small); err != nil {
		t.Fatal(err)
	}
	want, _ := edges(t, whole)
	got, n := edges(t, small)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("verdicts (-whole +trimmed):\n%s", d)
	}
	if entries == 0 || n > 2*entries { // once more after itself
		t.Errorf("%d entries of functions are left of three times %d", n, entries)
	}
}

// repeat copies a recording with every entry of a function several times.
func repeat(t *testing.T, from, to string, times int) (entries int) {
	t.Helper()
	r, err := record.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := record.Create(to, r.Header, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		it, err := r.Next()
		if err == io.EOF {
			break
		}
		switch {
		case err != nil:
		case it.Event != nil:
			n := 1
			if it.Event.Kind == ktrace.FuncEntry {
				n = times
				entries++
			}
			err = w.Write(slices.Repeat([]ktrace.Event{*it.Event}, n), nil)
		case it.Loss != nil:
			err = w.Write(nil, []ktrace.Loss{*it.Loss})
		case it.Note != nil:
			err = w.Note(*it.Note)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return entries
}

// edges are the verdicts of a recording, and how many functions were entered.
func edges(t *testing.T, name string) (verdicts []string, entries int) {
	t.Helper()
	r, err := record.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	k, err := lab.KernelOf(&r.Header)
	if err != nil {
		t.Fatal(err)
	}
	trials, err := lab.ReadTrials(r, k, nil)
	if err != nil || len(trials) == 0 {
		t.Fatal(errors.Join(err, fmt.Errorf("%d trials", len(trials))))
	}
	for _, tr := range trials {
		for _, s := range tr.Edges() {
			verdicts = append(verdicts, fmt.Sprintf("%s: %s -> %s %s", tr.Scenario.Name, s.Caller, s.Callee, s.Verdict))
		}
		for i := range tr.Events {
			if tr.Events[i].Kind == ktrace.FuncEntry {
				entries++
			}
		}
	}
	return verdicts, entries
}
