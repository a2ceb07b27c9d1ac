//go:build linux

// Command deaf runs a command of which the processor's watchpoints open and
// never fire, as under some hypervisors:
//
//	go run ./internal/testenv/deaf -- COMMAND ARGS…
//
// Its exit status is the command's.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/efd-go/efd/internal/testenv/deafen"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: deaf -- COMMAND ARGS…")
		os.Exit(2)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := deafen.Run(cmd)
	if _, ok := errors.AsType[*exec.ExitError](err); !ok && err != nil {
		fmt.Fprintf(os.Stderr, "deaf: %v\n", err)
		os.Exit(125)
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		os.Exit(code)
	}
	os.Exit(128)
}
