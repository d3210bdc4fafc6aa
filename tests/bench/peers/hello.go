// SPDX-License-Identifier: MIT

// hello answers /plaintext with Go's net/http: the peer that tools/bench compares the HTTP server with.
// It is what its users would write; GOMAXPROCS in the environment sets the number of threads.
//
// usage: hello ADDRESS:PORT
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: hello ADDRESS:PORT")
		os.Exit(2)
	}
	body := []byte("Hello, World!")
	http.HandleFunc("/plaintext", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(body)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], nil))
	os.Exit(1)
}
