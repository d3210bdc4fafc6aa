// SPDX-License-Identifier: MIT

// files does what ../files.c does, as one writes it in Go. GOMAXPROCS in the environment sets the number of
// threads.
//
// usage: files read|stat|run AT_ONCE COUNT FOLDER
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "files:", err)
		os.Exit(1)
	}
}

var lines = map[string]func(path string){
	"read": func(path string) {
		var buf [4096]byte
		file, err := os.Open(path)
		must(err)
		n, err := file.Read(buf[:])
		must(err)
		must(file.Close())
		if n != 1024 {
			must(fmt.Errorf("%d bytes", n))
		}
	},
	"stat": func(path string) {
		info, err := os.Stat(path)
		must(err)
		if info.Size() != 1024 {
			must(fmt.Errorf("%d bytes", info.Size()))
		}
	},
	"run": func(path string) {
		program := exec.Command("/bin/true")
		program.Stdin, program.Stdout, program.Stderr = os.Stdin, os.Stdout, os.Stderr
		must(program.Run())
	},
}

func together(atOnce, count int, folder string, line func(string)) {
	var left sync.WaitGroup
	left.Add(atOnce)
	for i := 0; i < atOnce; i++ {
		go func(index int) {
			path := folder + "/" + strconv.Itoa(index)
			for k := index; k < count; k += atOnce {
				line(path)
			}
			left.Done()
		}(i)
	}
	left.Wait()
}

func cpu() int64 {
	var sum int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		must(syscall.Getrusage(who, &usage))
		sum += usage.Utime.Nano() + usage.Stime.Nano()
	}
	return sum
}

func main() {
	if len(os.Args) != 5 || lines[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: files read|stat|run AT_ONCE COUNT FOLDER")
		os.Exit(2)
	}
	atOnce, err := strconv.Atoi(os.Args[2])
	must(err)
	count, err := strconv.Atoi(os.Args[3])
	must(err)
	together(atOnce, count/10, os.Args[4], lines[os.Args[1]])
	begun, used := time.Now(), cpu()
	together(atOnce, count, os.Args[4], lines[os.Args[1]])
	fmt.Printf("us %.3f\ncpu_us %.3f\n", float64(time.Since(begun).Nanoseconds())/1e3/float64(count),
		float64(cpu()-used)/1e3/float64(count))
}
