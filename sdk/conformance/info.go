package conformance

import (
	_ "embed"
	"regexp"
	"strings"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// Info tells of one check what an author wants to know when it fails.
type Info struct {
	Name    string
	Group   string // what the promise is about: "protocol", "put and get", "life cycle", ...
	Profile string // the ability that the promise belongs to; see Result
	Explain string // what is promised, why that matters, and what is usually wrong: one paragraph
}

// Checks returns what there is to check in a plugin of a kind, "destination" or
// "keyprovider", in the order in which it is checked.
func Checks(kind string) []Info {
	switch kind {
	case handshake.Destination:
		return infos(destinationChecks())
	case handshake.KeyProvider:
		return infos(keyChecks())
	}
	return nil
}

func infos[S any](checks []check[S]) []Info {
	var all []Info
	for _, c := range checks {
		all = append(all, Info{Name: c.name, Group: c.group, Profile: c.profile, Explain: explained[c.name]})
	}
	return all
}

//go:embed explain.txt
var explainText string

// explained has the paragraphs of explain.txt by the names above them.
var explained = explain(explainText)

func explain(text string) map[string]string {
	m := map[string]string{}
	heads := regexp.MustCompile(`(?m)^\[(.+)\]$`).FindAllStringSubmatchIndex(text, -1)
	for i, h := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		m[text[h[2]:h[3]]] = strings.Join(strings.Fields(text[h[1]:end]), " ")
	}
	return m
}
