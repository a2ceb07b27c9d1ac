//go:build linux

// A program with a tracer that asks for each call's path.
package main

import (
	"fmt"

	"github.com/efd-go/efd"
)

func main() {
	defer efd.AddTracer(func(c *efd.Call) { fmt.Println(c, c.Path().Name, len(c.Path().Edges)) })()
	e, err := efd.New(1, 0)
	if err == nil {
		e.Close()
	}
}
