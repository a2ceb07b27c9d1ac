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
	testenv.Beside(t, "watchpoints")
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
