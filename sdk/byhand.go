package sdk

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// byHand answers a user who started the plugin without a host, and returns the
// exit code.
func byHand(d Description, args []string) int {
	switch strings.Join(args, " ") {
	case "describe --json":
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		_ = e.Encode(d)
		return 0
	case "describe":
		introduce(os.Stdout, d)
		return 0
	}
	introduce(os.Stderr, d)
	return 2
}

func introduce(w io.Writer, d Description) {
	file := "brock-" + d.Kind + "-" + d.Name
	fmt.Fprintf(w, "%s %s is a plugin of brock, which starts it when it is needed.\n", file, d.Version)
	if d.Doc != "" {
		fmt.Fprintf(w, "%s\n", d.Doc)
	}
	if d.Kind == handshake.Destination {
		fmt.Fprintf(w, "\nSchemes:  %s\n", schemes(d.Schemes))
	}
	fmt.Fprintf(w, "\nInstall:  copy this file as %s to a plugin directory (brock plugin ls shows them)\n", file)
	fmt.Fprintf(w, "Test:     brock plugin info %s\n", d.Name)
	fmt.Fprintf(w, "Describe: %s describe --json\n", file)
	fmt.Fprintf(w, "Debug:    %s debug FILE (FILE will say how brock reaches it)\n", file)
	if len(d.Settings) == 0 {
		return
	}
	fmt.Fprint(w, "\nSettings:\n")
	for _, s := range d.Settings {
		fmt.Fprintf(w, "  %-16s %-9s %s\n", s.Name, s.Type, s.Doc)
	}
}

func schemes(list []string) string {
	var shown []string
	for _, s := range list {
		if s == "" {
			shown = append(shown, "a plain path")
			continue
		}
		shown = append(shown, s+"://")
	}
	return strings.Join(shown, ", ")
}
