//go:build linux

// A program with every handle and no tracer.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/efd-go/efd"
)

func main() {
	e, err := efd.New(1, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := context.Background()
	fmt.Println(e.Write(1), e.Signal(), e.WriteContext(ctx, 1))
	fmt.Println(e.Info())
	fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
	fmt.Println(efd.Poll(fds, efd.Forever, nil))
	fmt.Println(fds)
	var set efd.FDSet
	set.Add(e.FD())
	fmt.Println(efd.Select(&set, nil, nil, efd.Forever, &efd.SigSet{}))
	fmt.Println(&set)
	p, err := efd.NewEpoll()
	fmt.Println(err, p.AddConn(e, efd.EPOLLIN, 0))
	fmt.Println(p.WaitContext(ctx, make([]efd.EpollEvent, 1)))
	fmt.Println(p.Interest())
	fmt.Println(p.BusyPoll())
	var s efd.PollSet
	fmt.Println(s.Add(e, efd.POLLIN))
	fmt.Println(s.WaitContext(ctx))
	for c, ev := range s.Ready() {
		fmt.Println(c == e, ev)
	}
	fmt.Println(e.ReadContext(ctx))
	fmt.Println(efd.WithSigMask(efd.SigSet{}, p.Close), s.Close(), e.Close())
}
