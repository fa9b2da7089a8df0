package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/brock-backup/brock/host"
)

// assignments are the requests that tell a Zero what a restored database has
// used up. Zero answers them on its HTTP port, which is not the one that -z
// names.
func assignments(zero string, res *host.RestoreResult) string {
	name, _, err := net.SplitHostPort(zero)
	if err != nil {
		name = zero
	}
	base := "http://" + net.JoinHostPort(name, "6080") + "/assign"
	var b strings.Builder
	line := func(what string, n uint64) {
		if n > 0 {
			fmt.Fprintf(&b, "  curl '%s?what=%s&num=%d'\n", base, what, n)
		}
	}
	line("timestamps", res.Version)
	line("uids", res.MaxUID)
	line("nsids", res.MaxNs)
	return strings.TrimSuffix(b.String(), "\n")
}
