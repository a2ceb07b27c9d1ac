//go:build linux

package lab

import "github.com/efd-go/efd/internal/ktrace/observe"

// JudgeChains is Judge without the edges that no chain has: it finds no more
// than Judge, and what it finds Judge finds too.
func JudgeChains(k *observe.Kernel, t *Trial) {
	l := &Lab{Kernel: k}
	lost := l.judgeWakes(t)
	l.judgeWatched(t)
	t.conclude(lost)
}

// JudgeWakes is Judge of the chains of the stated wakes alone.
func JudgeWakes(k *observe.Kernel, t *Trial) { (&Lab{Kernel: k}).judgeWakes(t) }
