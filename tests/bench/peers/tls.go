// SPDX-License-Identifier: MIT

// tls is the peer of tests/bench/tls_server.c on Go's crypto/tls: "GET /n" is answered with n bytes.
// GOMAXPROCS in the environment sets the number of threads.
//
// usage: tls PORT CHAIN KEY
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

var zeros = make([]byte, 65536)

// request reads a head and returns how many bytes it asks for, or -1 at the end.
func request(in *bufio.Reader) int {
	asked := -1
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return -1
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return asked
		}
		if strings.HasPrefix(line, "GET /") {
			path, _, _ := strings.Cut(line[len("GET /"):], " ")
			if n, err := strconv.Atoi(path); err == nil {
				asked = n
			}
		}
	}
}

func serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	out := bufio.NewWriterSize(conn, 16384)
	for n := request(in); n >= 0; n = request(in) {
		fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n)
		for ; n > 0; n -= len(zeros) {
			piece := zeros
			if n < len(zeros) {
				piece = zeros[:n]
			}
			if _, err := out.Write(piece); err != nil {
				return
			}
		}
		if out.Flush() != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: tls PORT CHAIN KEY")
		os.Exit(2)
	}
	cert, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	listener, err := tls.Listen("tcp", "127.0.0.1:"+os.Args[1], config)
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
