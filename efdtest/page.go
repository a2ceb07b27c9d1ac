//go:build linux

package efdtest

import (
	"context"
	"os"

	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/picture"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/ktrace/render"
)

// writePage writes the HTML page of a recording.
func writePage(path, recording, title string) error {
	file, err := record.OpenFile(recording)
	if err != nil {
		return err
	}
	defer file.Close()
	live := observed.tape.s.Kernel // of the reader, which changes it
	k := &observe.Kernel{Release: live.Release, Arch: live.Arch, Version: live.Version, Symbols: live.Symbols,
		Catalog: live.Catalog}
	pic := picture.New()
	p, err := recorded.ReplayFile(context.Background(), file, k, observe.Options{
		OnWake: func(j *observe.Judged) {
			if !j.Runtime {
				pic.Wake(j)
			}
		},
		OnCall: func(c *observe.Call) { pic.Call(k, c) },
	})
	if err != nil {
		return err
	}
	t := pic.Finish(k, p.Lost)
	t.Title, t.Origin, t.Tier = title, "observed", "tracepoints"
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = render.HTML(out, t)
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}
