// SPDX-License-Identifier: MIT

// rescue is ../rescue.c with goroutines: one computes MS milliseconds at a time, the others echo. Go has one
// poller for all threads and interrupts a goroutine that has run for 10 ms, so every socket counts as one of
// the worker that is kept. GOMAXPROCS in the environment sets the number of threads.
//
// usage: rescue MS GAP
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var begun int32
var sink uint32

func compute(span time.Duration) {
	end := time.Now().Add(span)
	x := uint32(1)
	for time.Now().Before(end) {
		for i := 0; i < 10000; i++ {
			x = x*1664525 + 1013904223
		}
		sink = x
	}
}

func hog(span, gap time.Duration) {
	for atomic.LoadInt32(&begun) == 0 {
		time.Sleep(time.Millisecond)
	}
	for {
		compute(span)
		if gap > 0 {
			time.Sleep(gap)
		} else {
			runtime.Gosched()
		}
	}
}

func serve(conn net.Conn) {
	defer conn.Close()
	message := make([]byte, 8)
	if _, err := conn.Write([]byte("1")); err != nil {
		return
	}
	for {
		if _, err := io.ReadFull(conn, message); err != nil {
			return
		}
		if string(message) == "\x00\x00\x00\x00\x00\x00\x00\x00" {
			atomic.StoreInt32(&begun, 1)
		}
		if _, err := conn.Write(message); err != nil {
			return
		}
	}
}

func accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go serve(conn)
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: rescue MS GAP")
		os.Exit(2)
	}
	ms, _ := strconv.Atoi(os.Args[1])
	gap, _ := strconv.Atoi(os.Args[2])
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "rescue:", err)
		os.Exit(1)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go hog(time.Duration(ms)*time.Millisecond, time.Duration(gap)*time.Millisecond)
	go accept(listener)
	fmt.Printf("port %d\nhog 0\n", listener.Addr().(*net.TCPAddr).Port)
	<-stop
}
