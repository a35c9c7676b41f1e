// SPDX-License-Identifier: GPL-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Each of the tasks does it so many times, and notes that it has.
func doAll(tasks, times int, do func(task int)) *sync.WaitGroup {
	var all sync.WaitGroup

	runtime.GOMAXPROCS(2)
	all.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func(i int) {
			for j := 0; j < times; j++ {
				do(i)
			}
			all.Done()
		}(i)
	}
	return &all
}

func sampleThreads() {
	threads := pprof.Lookup("threadcreate")
	if threads == nil {
		fmt.Fprintln(os.Stderr, "no threadcreate")
		os.Exit(1)
	}
	sample("threads", float64(threads.Count()))
}

func sleepAll(sleep func()) {
	tasks, times, done := parameter("tasks"), parameter("sleeps"), int64(0)

	start := time.Now()
	doAll(tasks, times, func(int) {
		sleep()
		atomic.AddInt64(&done, 1)
	}).Wait()
	each(start, 1)
	counted(int(done), tasks*times)
	sampleThreads()
}

// In a system call, which blocks its thread; time.Sleep does not.
func blocking() {
	sleepAll(func() {
		left := syscall.Timespec{Nsec: 10000000}
		for syscall.Nanosleep(&left, &left) == syscall.EINTR {
		}
	})
}

func sleeps() {
	sleepAll(func() { time.Sleep(10 * time.Millisecond) })
}

// The files are those that bench.h says bench/feeder gives.
func readAll(read func(task int, buffer []byte) (int, error)) {
	tasks, times, done := parameter("tasks"), parameter("reads"), int64(0)

	all := doAll(tasks, times, func(task int) {
		var buffer [1]byte

		n, err := read(task, buffer[:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		atomic.AddInt64(&done, int64(n))
	})
	start := time.Now()
	if _, err := syscall.Write(3+tasks+1, []byte{0}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	all.Wait()
	each(start, 1)
	counted(int(done), tasks*times)
	sampleThreads()
}

func readsBlocking() {
	readAll(func(task int, buffer []byte) (int, error) {
		for {
			n, err := syscall.Read(3+task, buffer)
			if err != syscall.EINTR {
				return n, err
			}
		}
	})
}

// They are nonblocking: the runtime's poller waits for them.
func reads() {
	files := make([]*os.File, parameter("tasks"))

	for i := range files {
		files[i] = os.NewFile(uintptr(3+i), "pipe")
	}
	readAll(func(task int, buffer []byte) (int, error) { return files[task].Read(buffer) })
}
