// Runs h2spec, the conformance suite of HTTP/2, with a client certificate if one is named: its own command has no flag
// for that.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/summerwind/h2spec"
	"github.com/summerwind/h2spec/config"
)

func main() {
	host := flag.String("host", "127.0.0.1", "where the server is")
	port := flag.Int("port", 80, "its port")
	certificate := flag.String("certificate", "", "PEM file with the client's certificate chain; TLS when it is given")
	key := flag.String("key", "", "PEM file with the client's key")
	report := flag.String("report", "", "file for a JUnit report")
	flag.Parse()
	settings := &config.Config{
		Host:         *host,
		Port:         *port,
		Path:         "/",
		Timeout:      2 * time.Second,
		MaxHeaderLen: 4000,
		Strict:       true,
		JUnitReport:  *report,
		TLS:          *certificate != "",
		// Names of a mesh are SPIFFE identities, which this client cannot verify; what is tested is HTTP/2.
		Insecure:    true,
		CertFile:    *certificate,
		CertKeyFile: *key,
	}
	passed, err := h2spec.Run(settings)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if !passed {
		os.Exit(1)
	}
}
