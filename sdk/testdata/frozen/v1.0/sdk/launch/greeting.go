package launch

import (
	"errors"
	"fmt"
	"strings"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// checkGreeting checks the line by which a plugin says that it is ready:
//
//	1|PROTOCOL|NETWORK|ADDRESS|grpc|CERTIFICATE
//
// go-plugin would say of every other line that the plugin was not compiled for
// this architecture.
func checkGreeting(line string) error {
	parts := strings.Split(strings.TrimSpace(line), "|")
	switch {
	case len(parts) < 4:
		return sdk.WithHint(
			fmt.Errorf("wrote %.200q to standard output, which belongs to the handshake", line),
			"whatever the plugin has to say belongs to standard error")
	case parts[0] != "1":
		return fmt.Errorf("was built with go-plugin protocol %.20q, this host has 1: build it anew", parts[0])
	case parts[1] != fmt.Sprint(handshake.Protocol):
		return fmt.Errorf("speaks version %.20q of Brock's protocol, this host speaks %d: update the older of the two",
			parts[1], handshake.Protocol)
	case len(parts) < 5 || parts[4] != "grpc":
		return errors.New("does not speak gRPC")
	case len(parts) < 6 || parts[5] == "":
		return errors.New("ignores AutoMTLS: everybody could connect to it")
	}
	return nil
}
