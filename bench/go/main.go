// SPDX-License-Identifier: GPL-2.0

// Go's runtime: what bench.h says of the programs holds for this one as well.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

const frame = 1024

var stdin = bufio.NewReader(os.Stdin)

func parameter(name string) int {
	for _, arg := range os.Args[2:] {
		if strings.HasPrefix(arg, name+"=") {
			n, err := strconv.Atoi(arg[len(name)+1:])
			if err == nil {
				return n
			}
		}
	}
	fmt.Fprintf(os.Stderr, "no %s=\n", name)
	os.Exit(2)
	return 0
}

func sample(metric string, value float64) {
	fmt.Printf("sample %s %v\n", metric, value)
}

func phase(name string) {
	fmt.Printf("phase %s\n", name)
	stdin.ReadString('\n')
}

// Goes as deep as the bytes of its frames say; a stack is twice as large, or less.
//
//go:noinline
func goDeep(bytes int) byte {
	var room [frame]byte

	room[bytes%frame] = 1
	if bytes > frame {
		return goDeep(bytes-frame-64) + room[0]
	}
	return room[1]
}

// Returns when all have done it and wait, what ends them and waits for that.
func spawnAll(stacks int, fn func()) func() {
	var ready, end, all sync.WaitGroup

	ready.Add(stacks)
	all.Add(stacks)
	end.Add(1)
	for i := 0; i < stacks; i++ {
		go func() {
			fn()
			ready.Done()
			end.Wait()
			all.Done()
		}()
	}
	ready.Wait()
	return func() {
		end.Done()
		all.Wait()
	}
}

func growth() {
	pages, stacks := parameter("pages"), parameter("stacks")
	bytes := (pages - 1) * 4096
	var first, second time.Duration

	runtime.GOMAXPROCS(1)
	finish := spawnAll(stacks, func() {
		begin := time.Now()
		goDeep(bytes)
		between := time.Now()
		goDeep(bytes)
		first += between.Sub(begin)
		second += time.Since(between)
	})
	finish()
	sample("first", float64(first)/float64(stacks))
	sample("second", float64(second)/float64(stacks))
}

func deep() {
	pages, stacks := parameter("pages"), parameter("stacks")

	phase("before")
	finish := spawnAll(stacks, func() { goDeep((pages - 1) * 4096) })
	phase("deep")
	time.Sleep(time.Duration(parameter("idle_ms")) * time.Millisecond)
	phase("idle")
	// Each collection halves a stack that is used to less than a quarter.
	for i := 0; i < 8; i++ {
		debug.FreeOSMemory()
	}
	phase("trimmed")
	finish()
}

func parked() {
	stacks := parameter("stacks")

	phase("before")
	begin := time.Now()
	finish := spawnAll(stacks, func() {})
	sample("spawn_and_park", float64(time.Since(begin))/float64(stacks))
	phase("parked")
	finish()
}

func main() {
	works := map[string]func(){
		"growth": growth, "deep": deep, "parked": parked, "blocking": blocking,
		"sleeping": sleeping, "yield": yield, "channel": channel, "spawn": spawn,
		"mutex": mutex, "ring": ring, "skynet": skynet, "sieve": sieve,
		"producers": producers, "sleeps": sleeps, "reads": reads,
		"reads-blocking": readsBlocking, "handover": handover, "httpd": httpd,
	}
	if len(os.Args) < 2 || works[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "Usage: %s WORK [PARAMETER=VALUE]...\n", os.Args[0])
		os.Exit(2)
	}
	works[os.Args[1]]()
}
