// Command plainblob reads and writes blobs with package net/http alone, signed
// with the account's key: "get URL" prints the SHA-256 of a blob, "put URL" stores
// its standard input. ACCOUNT and KEY are in the environment.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(verb, address string) error {
	var body []byte
	method := http.MethodGet
	if verb == "put" {
		method = http.MethodPut
		var err error
		if body, err = io.ReadAll(os.Stdin); err != nil {
			return err
		}
	}
	req, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if err := sign(req, len(body)); err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, address, resp.Status)
	}
	if verb == "get" {
		fmt.Printf("%x\n", sum.Sum(nil))
	}
	return nil
}

// sign makes the header Authorization of version 2021-08-06 of Azure's API.
func sign(req *http.Request, size int) error {
	account, length, headers := os.Getenv("ACCOUNT"), "", ""
	if size > 0 {
		length = strconv.Itoa(size)
	}
	date := time.Now().UTC().Format(http.TimeFormat)
	if req.Method == http.MethodPut {
		req.Header.Set("x-ms-blob-type", "BlockBlob")
		headers = "x-ms-blob-type:BlockBlob\n"
	}
	req.Header.Set("x-ms-date", date)
	req.Header.Set("x-ms-version", "2021-08-06")
	headers += "x-ms-date:" + date + "\nx-ms-version:2021-08-06\n"
	text := req.Method + "\n\n\n" + length + "\n\n\n\n\n\n\n\n\n" + headers + "/" + account + req.URL.EscapedPath()
	key, err := base64.StdEncoding.DecodeString(os.Getenv("KEY"))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	req.Header.Set("Authorization", "SharedKey "+account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return nil
}
