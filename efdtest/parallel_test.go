//go:build linux

package efdtest_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/efdtest"
	"github.com/efd-go/efd/internal/testenv"
)

// inParallel, in the environment, has TestParallelChild run.
const inParallel = "EFDTEST_PARALLEL"

// 64 tests in parallel hold few descriptors: they share one observation. A
// process of its own shows them, from the first K on.
func TestParallel(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestParallelChild$", "-test.parallel=64", "-test.v")
	cmd.Env = append(os.Environ(), inParallel+"=1")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	testenv.Start(t, cmd)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for line := range strings.Lines(out.String()) {
		if _, text, ok := strings.Cut(line, "parallel: "); ok {
			t.Log(strings.TrimSpace(text))
		}
	}
}

func TestParallelChild(t *testing.T) {
	if os.Getenv(inParallel) == "" {
		t.Skip("is run by TestParallel")
	}
	const n, most = 64, 200
	before := openFiles(t)
	began := time.Now()
	efdtest.New(t)
	first := time.Since(began)
	here := make(chan struct{}, n)
	together := make(chan struct{})
	descriptors := make(chan int, 1)
	go func() {
		for range n {
			<-here
		}
		descriptors <- openFiles(t)
		close(together)
	}()
	took := make(chan time.Duration, n)
	t.Run("all", func(t *testing.T) {
		for i := range n {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				k := efdtest.New(t)
				took <- time.Since(began)
				q := newQueue(t)
				jobs := k.Name(q, "jobs")
				c := k.Go("consumer", q.Get)
				c.Asleep(jobs)
				here <- struct{}{}
				testenv.Receive(t, together, "the other tests")
				put := k.Do("Put", q.Put)
				put.Woke(c)
				put.WokeNobodyElse()
				c.Done()
			})
		}
	})
	var all []time.Duration
	for range n {
		all = append(all, testenv.Receive(t, took, "a test"))
	}
	held := testenv.Receive(t, descriptors, "the count of descriptors")
	t.Logf("parallel: %d descriptors before, %d with %d tests, %d of them their own eventfds; the first K took %v, %s",
		before, held, n, n, first, spread(all))
	if held > most {
		t.Errorf("%d descriptors with %d tests in parallel, want %d at most", held, n, most)
	}
}

func openFiles(t *testing.T) int {
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Error(err)
	}
	return len(l) - 1
}

// spread describes durations.
func spread(all []time.Duration) string {
	var sum, most time.Duration
	for _, d := range all {
		sum, most = sum+d, max(most, d)
	}
	return fmt.Sprintf("each of the %d after it %v, %v at most", len(all), sum/time.Duration(len(all)), most)
}

// A K after the first is cheap.
func TestNextK(t *testing.T) {
	testenv.RealSpeed(t)
	efdtest.New(t)
	best := time.Hour
	for range 50 { // the best of them: the others had no processor
		record(t, func(t testing.TB) {
			began := time.Now()
			efdtest.New(t)
			best = min(best, time.Since(began))
		})
	}
	t.Logf("%v", best)
	if best > time.Millisecond {
		t.Errorf("a K after the first takes %v, want less than 1 ms", best)
	}
}
