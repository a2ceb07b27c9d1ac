package main

import (
	"io"

	"github.com/efd-go/efd/internal/ktrace/render"
)

// pictures are the forms that show the whole at once.
var pictures = render.Formats

func writePicture(w io.Writer, format string, t *render.Timeline) error {
	return render.Write(w, format, t)
}
