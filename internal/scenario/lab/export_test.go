//go:build linux

package lab

import "github.com/efd-go/efd/internal/ktrace/observe"

// Judge judges the events of a trial as those of a kernel.
func Judge(k *observe.Kernel, t *Trial) { (&Lab{Kernel: k}).judge(t) }

// JudgeChains is Judge without the edges that no chain has: it finds no more
// than Judge, and what it finds Judge finds too.
func JudgeChains(k *observe.Kernel, t *Trial) {
	l := &Lab{Kernel: k}
	l.observe(t, observe.Options{OnChange: t.changes(&t.Watched)})
	t.conclude()
}

// JudgeWakes is Judge of the chains of wakes alone.
func JudgeWakes(k *observe.Kernel, t *Trial) { (&Lab{Kernel: k}).observe(t, observe.Options{}) }
