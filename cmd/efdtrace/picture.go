package main

import (
	"fmt"
	"io"

	"github.com/efd-go/efd/internal/ktrace/render"
)

// pictures are the forms that show the whole at once.
var pictures = []string{}

func writePicture(w io.Writer, format string, t *render.Timeline) error {
	return fmt.Errorf("format %q: not there", format)
}
