//go:build linux

// Package input makes files that are hostile to their reader: recordings
// and logs that are small and ask for much, and mutants of good ones.
package input

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Bomb is a file that asks its reader for memory or time.
type Bomb struct {
	Name  string
	Log   bool // of strace, else a recording
	Write func(*bufio.Writer)
}

const recordingHeader = `{"recording":{"version":1,"release":"6.18.44","arch":"x86_64","symbols":{}}}` + "\n"

// recording makes a bomb of lines after a header. Without an end they are all
// shown.
func recording(name string, lines func(*bufio.Writer)) Bomb {
	return Bomb{Name: name, Write: func(w *bufio.Writer) {
		w.WriteString(recordingHeader)
		lines(w)
	}}
}

// chain is the lines of frames and one stack of a poll's wake.
func chain(w *bufio.Writer, stack int, callback string) {
	names := []string{"try_to_wake_up", "pollwake", "__wake_up_common", "__wake_up_locked_key", "eventfd_write", "vfs_write", "ksys_write", "do_syscall_64", "entry_SYSCALL_64_after_hwframe"}
	if callback != "" {
		names[1] = callback
	}
	var pairs []string
	for i, n := range names {
		id := i + 1
		if callback != "" && i == 1 {
			id = 100 + stack
		}
		fmt.Fprintf(w, `{"frame":{"id":%d,"name":"%s"}}`+"\n", id, n)
		pairs = append(pairs, fmt.Sprintf("[%d,%d]", id, i))
	}
	fmt.Fprintf(w, `{"stack":{"id":%d,"frames":[%s]}}`+"\n", stack, strings.Join(pairs, ","))
}

// Bombs are all of them.
func Bombs() []Bomb {
	mega := strings.Repeat("A", 7<<20)
	return append(logBombs(), []Bomb{
		recording("stacks", func(w *bufio.Writer) {
			io.WriteString(w, `{"frame":{"id":1,"name":"x"}}`+"\n")
			frames := strings.TrimSuffix(strings.Repeat("[1,0],", 4096), ",")
			for i := range 4000 {
				fmt.Fprintf(w, `{"stack":{"id":%d,"frames":[%s]}}`+"\n", i+1, frames)
			}
		}),
		recording("deep stacks", func(w *bufio.Writer) {
			io.WriteString(w, `{"frame":{"id":1,"name":"x"}}`+"\n")
			frames := strings.TrimSuffix(strings.Repeat("[1,0],", 500), ",")
			for i := range 16000 {
				fmt.Fprintf(w, `{"stack":{"id":%d,"frames":[%s]}}`+"\n", i+1, frames)
			}
		}),
		recording("judged stacks", func(w *bufio.Writer) {
			for i := range 1000 {
				chain(w, 1, "")
				for f := range 400 {
					fmt.Fprintf(w, `{"frame":{"id":%d,"name":"f%d_%d"}}`+"\n", 1000+f, i, f)
				}
				var pairs []string
				for f := range 400 {
					pairs = append(pairs, fmt.Sprintf("[%d,0]", 1000+f))
				}
				fmt.Fprintf(w, `{"stack":{"id":2,"frames":[[1,0],[2,0],[3,0],[4,0],[5,0],%s,[8,0]]}}`+"\n", strings.Join(pairs, ","))
				fmt.Fprintf(w, `{"event":{"kind":"enter","t":%d,"pid":5,"tid":6,"nr":7,"args":[0,0,0,0,0,0]}}`+"\n", i*10+1)
				fmt.Fprintf(w, `{"event":{"kind":"waking","t":%d,"pid":5,"tid":7,"target":6,"stack":2}}`+"\n", i*10+2)
				fmt.Fprintf(w, `{"event":{"kind":"switch","t":%d,"pid":5,"tid":9,"target":6,"state":1,"stack":2}}`+"\n", i*10+3)
				w.WriteString(`{"forget":true}` + "\n")
			}
		}),
		recording("frames", func(w *bufio.Writer) {
			for i := range 40 {
				fmt.Fprintf(w, `{"frame":{"id":%d,"name":"%s"}}`+"\n", i+1, mega)
			}
		}),
		recording("named frames", func(w *bufio.Writer) {
			for i := range 250_000 {
				fmt.Fprintf(w, `{"frame":{"id":%d,"name":"%0500d","aliases":["%0500d"]}}`+"\n", i+1, i, i)
			}
		}),
		recording("notes", func(w *bufio.Writer) {
			for i := range 40 {
				fmt.Fprintf(w, `{"note":{"t":%d,"key":"object","value":"1 %s"}}`+"\n", i+1, mega)
			}
		}),
		recording("object notes", func(w *bufio.Writer) {
			for i := range 200_000 {
				fmt.Fprintf(w, `{"note":{"t":%d,"key":"object","value":"1 %0200d"}}`+"\n", i+1, i)
			}
		}),
		recording("text notes", func(w *bufio.Writer) {
			for i := range 40 {
				fmt.Fprintf(w, `{"note":{"key":"text","value":"{\"jumps\":{\"%d\":\"%s\"}}"}}`+"\n", i, mega[:800_000])
			}
		}),
		recording("names of tasks", func(w *bufio.Writer) {
			for i := range 100_000 {
				fmt.Fprintf(w, `{"event":{"kind":"enter","t":%d,"pid":%d,"tid":%d,"comm":"%0500d","nr":7,"args":[0,0,0,0,0,0]}}`+"\n", i+1, i+1, i+1, i)
			}
		}),
		recording("threads that never run", func(w *bufio.Writer) {
			chain(w, 1, "")
			for i := range 100_000 {
				fmt.Fprintf(w, `{"event":{"kind":"waking","t":%d,"pid":5,"tid":6,"target":%d,"target_pid":%d,"stack":1}}`+"\n", i+1, i+10, i+10)
			}
		}),
		recording("sleeps", func(w *bufio.Writer) {
			chain(w, 1, "")
			for i := range 8000 {
				fmt.Fprintf(w, `{"event":{"kind":"enter","t":1,"pid":5,"tid":%d,"nr":7,"args":[0,0,0,0,0,0]}}`+"\n", i+10)
			}
			for k := range 40 {
				for i := range 8000 {
					fmt.Fprintf(w, `{"event":{"kind":"switch","t":%d,"pid":5,"tid":%d,"state":1,"stack":1}}`+"\n", k*10+2, i+10)
				}
			}
		}),
		recording("losses", func(w *bufio.Writer) {
			for i := range 30_000 {
				fmt.Fprintf(w, `{"event":{"kind":"enter","t":1,"pid":5,"tid":%d,"nr":7,"args":[0,0,0,0,0,0]}}`+"\n", i+10)
			}
			for i := range 100_000 {
				fmt.Fprintf(w, `{"loss":{"src":"s%d","count":1,"from":1,"to":%d}}`+"\n", i, i+2)
			}
		}),
		recording("callbacks", func(w *bufio.Writer) {
			for i := range 20_000 {
				chain(w, 1, fmt.Sprintf("callback_%d", i))
				fmt.Fprintf(w, `{"event":{"kind":"enter","t":%d,"pid":5,"tid":6,"nr":7,"args":[0,0,0,0,0,0]}}`+"\n", i*10+1)
				fmt.Fprintf(w, `{"event":{"kind":"waking","t":%d,"pid":5,"tid":7,"target":6,"stack":1}}`+"\n", i*10+2)
				fmt.Fprintf(w, `{"event":{"kind":"switch","t":%d,"pid":5,"tid":9,"target":6}}`+"\n", i*10+3)
				w.WriteString(`{"forget":true}` + "\n")
			}
		}),
		recording("last calls", func(w *bufio.Writer) {
			for i := range 100_000 {
				fmt.Fprintf(w, `{"event":{"kind":"enter","t":1,"pid":5,"tid":%d,"nr":60,"args":[0,0,0,0,0,0]}}`+"\n", i%20000+10)
			}
		}),
		recording("closed ranges", func(w *bufio.Writer) {
			for i := range 16_000 {
				fmt.Fprintf(w, `{"event":{"kind":"exit","t":1,"pid":%d,"tid":%d,"nr":290,"ret":%d}}`+"\n", i+10, i+10, i)
			}
			for i := range 60_000 {
				fmt.Fprintf(w, `{"event":{"kind":"exit","t":%d,"pid":5,"tid":5,"nr":290,"ret":3}}`+"\n", i+2)
				fmt.Fprintf(w, `{"event":{"kind":"enter","t":%d,"pid":5,"tid":5,"nr":436,"args":[0,9,0,0,0,0]}}`+"\n", i+2)
			}
		}),
		{Name: "symbols", Write: func(w *bufio.Writer) {
			w.WriteString(`{"recording":{"version":1,"release":"6.18.44","arch":"x86_64","symbols":{`)
			for i := range 2_000_000 {
				fmt.Fprintf(w, `"%d":[],`, i)
			}
			w.WriteString(`"":[]}}}` + "\n")
		}},
	}...)
}

func logBombs() []Bomb {
	many := func(n int, line func(i int) string) func(*bufio.Writer) {
		return func(w *bufio.Writer) {
			for i := range n {
				w.WriteString(line(i))
				w.WriteByte('\n')
			}
		}
	}
	return []Bomb{
		{"one long line", true, func(w *bufio.Writer) {
			w.WriteString(`100 1.0 write(3, "`)
			for range 40 {
				w.WriteString(strings.Repeat("A", 1<<20))
			}
			w.WriteString("\", 8) = 8\n")
		}},
		{"processes", true, many(100_000, func(i int) string { return fmt.Sprintf("%d %d.0 eventfd2(0, 0) = 3 <0.00001>", i+1, i) })},
		{"descriptors", true, many(100_000, func(i int) string { return fmt.Sprintf("100 %d.0 eventfd2(0, 0) = %d <0.00001>", i, i+3) })},
		{"first halves", true, many(100_000, func(i int) string { return fmt.Sprintf("%d %d.0 read(3,  <unfinished ...>", i+1, i) })},
		{"log of closed ranges", true, func(w *bufio.Writer) {
			many(17_000, func(i int) string { return fmt.Sprintf("100 0.1 eventfd2(0, 0) = %d", i+3) })(w)
			many(20_000, func(i int) string { return "100 0.1 close_range(0, 4294967295, 0) = 0" })(w)
			many(2_000, func(i int) string { return fmt.Sprintf("100 0.1 clone(child_stack=NULL, flags=SIGCHLD) = %d", 1000+i) })(w)
		}},
		{"closed ranges of others", true, func(w *bufio.Writer) {
			for i := range 2000 {
				fmt.Fprintf(w, "%d 0.1 eventfd2(0, 0) = 3\n", 1000+i)
			}
			for i := range 30_000 {
				fmt.Fprintf(w, "100 0.1 eventfd2(0, 0) = 3\n100 0.1 close_range(3, 4294967295, 0) = 0\n%d 0.2 getpid() = 1\n", 5000+i)
			}
		}},
		{"nested epolls", true, func(w *bufio.Writer) {
			many(10, func(i int) string { return fmt.Sprintf("100 0.1 epoll_create1(0) = %d", i+3) })(w)
			many(100_000, func(i int) string {
				return fmt.Sprintf("100 0.1 epoll_ctl(%d, EPOLL_CTL_ADD, %d, {events=EPOLLIN, data={u32=1, u64=%d}}) = 0", 3+i%10, 3+(i*7+1)%10, i)
			})(w)
			many(20_000, func(i int) string {
				return fmt.Sprintf("100 0.2 epoll_wait(%d, [{events=EPOLLIN, data={u32=1, u64=%d}}], 10, -1) = 1 <0.02>", 3+i%10, i)
			})(w)
		}},
		{"brackets", true, func(w *bufio.Writer) {
			w.WriteString("100 1.0 poll(" + strings.Repeat("[", 500_000) + "], 1, -1) = 1\n")
			w.WriteString("100 1.0 ioctl(3, " + strings.Repeat("{a=", 300_000) + ") = 0\n")
			w.WriteString("100 1.0 " + strings.Repeat("f(", 400_000) + "\n")
		}},
		{"long polls", true, many(60, func(i int) string {
			var in, out strings.Builder
			for i := range 20_000 {
				fmt.Fprintf(&in, "{fd=%d, events=POLLIN}, ", i)
				fmt.Fprintf(&out, "{fd=%d, revents=POLLIN}, ", i)
			}
			return "100 1.0 poll([" + strings.TrimSuffix(in.String(), ", ") + "], 20000, -1) = 20000 ([" + strings.TrimSuffix(out.String(), ", ") + "])"
		})},
	}
}
