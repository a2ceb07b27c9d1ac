//go:build linux

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

func TestFullOutputIsSaid(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	testenv.Shared(t, "watchpoints")
	for _, args := range [][]string{
		{"path", "ppoll"}, {"path", "-list"}, {"path", "-json", "ppoll"}, {"doctor"}, {"doctor", "-json"}, {"demo", "ppoll"},
		{"verify", "-list"}, {"verify", "ppoll"}, {"verify", "-json", "ppoll"}, {"learn"}, {"learn", "counter"},
	} {
		var errs bytes.Buffer
		status := run(&env{stdin: strings.NewReader(""), stdout: full, stderr: &errs}, args)
		// Where nothing can be observed verify has that to say, and the same status.
		if said := strings.Contains(errs.String(), unix.ENOSPC.Error()); status != exitCannot || !said && args[0] != "verify" {
			t.Errorf("%v > /dev/full: status %d, %q", args, status, errs.String())
		}
	}
}

// Options behind other arguments are not taken for names of something else.
func TestLateOptions(t *testing.T) {
	for _, args := range [][]string{
		{"path", "ppoll", "-kernel", "6.1"}, {"path", "ppoll", "-json"}, {"path", "ppoll", "--kernel=6.1"}, {"verify", "ppoll", "-v"},
		{"explain", "LOG", "-json"}, {"replay", "R", "-format", "html"}, {"demo", "ppoll", "-h"}, {"learn", "counter", "-all"},
	} {
		var out, errs bytes.Buffer
		status := run(&env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}, args)
		if want := args[2] + " comes too late"; status != exitUsage || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("%v: status %d, %q, want %q", args, status, errs.String(), want)
		}
	}
	var errs bytes.Buffer
	if run(&env{stdin: strings.NewReader(""), stdout: &errs, stderr: &errs}, []string{"explain", "--", "-json"}); !strings.Contains(errs.String(), "open -json") {
		t.Errorf("explain -- -json: %q", errs.String())
	}
}
