// SPDX-License-Identifier: GPL-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"
)

// In a system call, which blocks its thread; time.Sleep would not.
func sleepBlocking() {
	left := syscall.Timespec{Nsec: 10000000}
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}

func blocking() {
	tasks, sleeps := parameter("tasks"), parameter("sleeps")
	var all sync.WaitGroup

	runtime.GOMAXPROCS(2)
	begin := time.Now()
	all.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for j := 0; j < sleeps; j++ {
				sleepBlocking()
			}
			all.Done()
		}()
	}
	all.Wait()
	sample("ns", float64(time.Since(begin)))
	threads := pprof.Lookup("threadcreate")
	if threads == nil {
		fmt.Fprintln(os.Stderr, "no threadcreate")
		os.Exit(1)
	}
	sample("threads", float64(threads.Count()))
}
