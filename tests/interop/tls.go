// SPDX-License-Identifier: MIT

// tls is Go's half of tools/interop tls: a server, a client, and a maker of certificates. It takes the same
// words as tests/interop/tls_peer.c, where they are told, and prints the same lines.
//
// usage: tls certs FOLDER | tls serve NAME=VALUE... | tls ask NAME=VALUE...
package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ---- certificates ----

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var serial int64

// issue writes NAME.pem and NAME.key; without an authority the certificate signs itself.
func issue(folder, name, cn string, by *authority, from, to time.Duration, isCA bool) *authority {
	serial++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(serial),
		Subject:               pkix.Name{CommonName: cn},
		NotBefore:             time.Now().Add(from),
		NotAfter:              time.Now().Add(to),
		BasicConstraintsValid: true,
		IsCA:                  isCA,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	if isCA {
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		template.DNSNames = []string{"localhost"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	keyDer, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	write := func(ending, kind string, bytes []byte) {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
		must(os.WriteFile(folder+"/"+name+ending, text, 0o600))
	}
	write(".pem", "CERTIFICATE", der)
	write(".key", "PRIVATE KEY", keyDer)
	return &authority{cert, key}
}

func certs(folder string) {
	hour := time.Hour
	ca := issue(folder, "ca", "authority", nil, -hour, 24*hour, true)
	other := issue(folder, "other", "another", nil, -hour, 24*hour, true)
	issue(folder, "host", "host", ca, -hour, 24*hour, false)
	issue(folder, "expired", "expired", ca, -48*hour, -24*hour, false)
	issue(folder, "self", "self", nil, -hour, 24*hour, false)
	issue(folder, "client", "alice", ca, -hour, 24*hour, false)
	issue(folder, "stranger", "mallory", other, -hour, 24*hour, false)
}

// ---- both ends ----

func words(args []string) map[string]string {
	found := map[string]string{}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		found[name] = value
	}
	return found
}

func version(text string) uint16 {
	if text == "1.2" {
		return tls.VersionTLS12
	}
	return tls.VersionTLS13
}

func config(w map[string]string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: version(w["max"])}
	if w["chain"] != "" {
		cert, err := tls.LoadX509KeyPair(w["chain"], w["key"])
		must(err)
		c.Certificates = []tls.Certificate{cert}
	}
	if w["alpn"] != "" {
		c.NextProtos = strings.Split(w["alpn"], ",")
	}
	return c
}

func pool(file string) *x509.CertPool {
	text, err := os.ReadFile(file)
	must(err)
	found := x509.NewCertPool()
	found.AppendCertsFromPEM(text)
	return found
}

func or(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// describe says what was agreed on.
func describe(state tls.ConnectionState, host string) string {
	name := map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}[state.Version]
	subject := ""
	if len(state.PeerCertificates) > 0 {
		subject = state.PeerCertificates[0].Subject.String()
	}
	resumed := 0
	if state.DidResume {
		resumed = 1
	}
	return fmt.Sprintf("version=%s alpn=%s host=%s resumed=%d peer=%s", name, or(state.NegotiatedProtocol),
		or(host), resumed, or(subject))
}

// ---- the server ----

func answer(conn *tls.Conn, cut bool) {
	defer conn.NetConn().Close()
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var n int64
	if _, err := fmt.Sscanf(line, "echo %d", &n); err == nil {
		if _, err := io.CopyN(conn, in, n); err != nil {
			fmt.Println("error", err)
		}
	} else {
		state := conn.ConnectionState()
		fmt.Fprintf(conn, "%s\n", describe(state, state.ServerName))
	}
	if !cut {
		conn.CloseWrite()
		io.Copy(io.Discard, in) // until the client has said good-bye, too
	}
}

func serve(w map[string]string) {
	c := config(w)
	if w["ca"] != "" {
		c.ClientCAs = pool(w["ca"])
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", c)
	must(err)
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		must(err)
		go answer(conn.(*tls.Conn), w["cut"] == "1")
	}
}

// ---- the client ----

func echo(conn *tls.Conn, n int) error {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(uint32(i) * 2654435761 >> 16)
	}
	go func() {
		fmt.Fprintf(conn, "echo %d\n", n)
		conn.Write(data)
	}()
	back := make([]byte, n)
	if _, err := io.ReadFull(conn, back); err != nil {
		return err
	}
	if !bytes.Equal(data, back) {
		return fmt.Errorf("other bytes came back")
	}
	fmt.Println("echo", n)
	return nil
}

func ask(w map[string]string, c *tls.Config) error {
	conn, err := tls.Dial("tcp", "127.0.0.1:"+w["port"], c)
	if err != nil {
		return err
	}
	defer conn.Close()
	if w["echo"] != "" {
		n, _ := strconv.Atoi(w["echo"])
		return echo(conn, n)
	}
	fmt.Fprintf(conn, "who\n")
	text, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	fmt.Println("client", describe(conn.ConnectionState(), ""))
	fmt.Print("server ", string(text))
	return nil
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: tls certs FOLDER | tls serve NAME=VALUE... | tls ask NAME=VALUE...")
		os.Exit(2)
	}
	w := words(os.Args[2:])
	switch os.Args[1] {
	case "certs":
		certs(os.Args[2])
	case "serve":
		serve(w)
	case "ask":
		c := config(w)
		c.RootCAs = pool(w["ca"])
		c.ServerName = w["host"]
		c.ClientSessionCache = tls.NewLRUClientSessionCache(16)
		for times, _ := strconv.Atoi(w["times"]); times >= 0; times-- {
			if err := ask(w, c); err != nil {
				fmt.Println("error", err)
			}
			if times == 1 {
				break
			}
		}
	}
}
