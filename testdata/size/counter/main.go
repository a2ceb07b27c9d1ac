//go:build linux

// A counter made, written, read and closed.
package main

import (
	"os"

	"github.com/efd-go/efd"
)

func main() {
	e, err := efd.New(0, 0)
	if err != nil {
		os.Exit(1)
	}
	if err := e.Write(1); err != nil {
		os.Exit(1)
	}
	if _, err := e.Read(); err != nil {
		os.Exit(1)
	}
	if err := e.Close(); err != nil {
		os.Exit(1)
	}
}
