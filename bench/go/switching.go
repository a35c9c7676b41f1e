// SPDX-License-Identifier: GPL-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

// What each of n took that began at start and are done now.
func each(start time.Time, n int) {
	sample("ns", float64(time.Since(start))/float64(n))
}

func counted(turns, n int) {
	if turns != n {
		fmt.Fprintf(os.Stderr, "%d, not %d\n", turns, n)
		os.Exit(1)
	}
}

// Two that yield to each other: each turn of the other one is two yields.
func yield() {
	n, turns, over := parameter("n"), 0, false
	ended := make(chan struct{})

	runtime.GOMAXPROCS(1)
	go func() {
		for ; !over; runtime.Gosched() {
			turns++
		}
		close(ended)
	}()
	runtime.Gosched()
	start := time.Now()
	for i := 0; i < n; i++ {
		runtime.Gosched()
	}
	each(start, 2*n)
	over = true
	<-ended
	// Its scheduler looks at the global queue, where a yield goes, in turns of its own.
	if turns < n-n/10 || turns > n+n/10+1 {
		counted(turns, n)
	}
}

func channel() {
	n, turns := parameter("n"), 0
	there, back := make(chan int), make(chan int)

	runtime.GOMAXPROCS(parameter("processors"))
	go func() {
		for value := range there {
			turns++
			back <- value
		}
		close(back)
	}()
	start := time.Now()
	for i := 0; i < n; i++ {
		there <- i
		counted(<-back, i)
	}
	each(start, n)
	close(there)
	<-back
	counted(turns, n)
}

func spawn() {
	n, turns := parameter("n"), 0

	runtime.GOMAXPROCS(1)
	start := time.Now()
	for i := 0; i < n; i++ {
		var ended sync.WaitGroup

		ended.Add(1)
		go func() {
			turns++
			ended.Done()
		}()
		ended.Wait()
	}
	each(start, n)
	counted(turns, n)
}

func mutex() {
	tasks, n, turns := parameter("tasks"), parameter("n"), 0
	var mutex sync.Mutex
	var all sync.WaitGroup

	runtime.GOMAXPROCS(2)
	start := time.Now()
	all.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for j := 0; j < n; j++ {
				mutex.Lock()
				turns++
				mutex.Unlock()
			}
			all.Done()
		}()
	}
	all.Wait()
	each(start, 1)
	counted(turns, tasks*n)
}
