// SPDX-License-Identifier: GPL-2.0

package main

import (
	"fmt"
	"net/http"
	"os"
)

// Serves the files below the directory that it was started in, until it is killed.
func httpd() {
	address := fmt.Sprintf("127.0.0.1:%d", parameter("port"))
	fmt.Fprintln(os.Stderr, http.ListenAndServe(address, http.FileServer(http.Dir("."))))
	os.Exit(1)
}
