// SPDX-License-Identifier: MIT

// echo is what ../bare_echo.c does, as one writes it in Go: a goroutine for each connection. GOMAXPROCS in the
// environment sets the number of threads.
//
// usage: echo PORT echo|sink|source
package main

import (
	"fmt"
	"net"
	"os"
)

func echo(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 16384)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err = conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

func sink(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 65536)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

func source(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 65536)
	for {
		if _, err := conn.Write(buf); err != nil {
			return
		}
	}
}

func main() {
	modes := map[string]func(net.Conn){"echo": echo, "sink": sink, "source": source}
	if len(os.Args) != 3 || modes[os.Args[2]] == nil {
		fmt.Fprintln(os.Stderr, "usage: echo PORT echo|sink|source")
		os.Exit(2)
	}
	serve := modes[os.Args[2]]
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(conn)
	}
}
