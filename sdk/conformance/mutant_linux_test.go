package conformance

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
)

const boxToken = "token-of-the-box"

func boxAt(t *testing.T, mutant string) Subject {
	t.Helper()
	place := func(what string) *Variant {
		return &Variant{Settings: map[string]any{"uri": t.TempDir(), "place": what}}
	}
	return Subject{
		Path:      os.Args[0],
		Settings:  map[string]any{"uri": t.TempDir(), "token": sdk.NewSecret(boxToken)},
		Env:       []string{"BROCK_TEST_PLUGIN=box", "BROCK_TEST_MUTANT=" + mutant},
		Denied:    place("denied"),
		ReadOnly:  place("read-only"),
		Missing:   place("missing"),
		Full:      place("full"),
		Throttled: place("throttled"),
	}
}

// A plugin that has never seen the SDK keeps every promise, if it means to.
func TestBoxPasses(t *testing.T) {
	for r := range boxAt(t, "").Destination(t.Context()) {
		if !r.OK() {
			t.Errorf("%s: %q, skipped %q", r.Check, r.Failures, r.Skipped)
		}
		t.Logf("%-40s %v %s", r.Check, r.Took.Round(time.Millisecond), r.Measured)
	}
}

// boxMutants are broken boxes, and the check that must find each.
var boxMutants = map[string]string{
	"a new version every time":                   "describes itself",
	"noise on stdout":                            "greets with one line",
	"goodbye on stdout":                          "greets with one line",
	"the host's version is its own":              "tells its own version",
	"content without a host":                     "started by hand",
	"a description that grew old":                "describes itself by hand",
	"what is not open is not found":              "unknown instance is refused",
	"a second open replaces the first":           "an instance id is used once",
	"dies of an oversize message":                "oversize message is survived",
	"settings that nobody knows are ignored":     "settings are strict",
	"a lost last frame":                          "put and get every size",
	"the offset is ignored":                      "get from an offset",
	"absent is nothing special":                  "get what is not there",
	"absent is said to be forbidden":             "absent is not forbidden",
	"overwrites":                                 "put never overwrites",
	"looks before it writes":                     "one of 64 puts wins",
	"a torn write is visible":                    "invisible until complete",
	"half-close after data is a commit":          "failing source leaves nothing",
	"cancel is a commit":                         "cancelled put leaves nothing",
	"gets that are closed early are kept":        "get closed early",
	"a list in the order of directories":         "list order and prefixes",
	"a list of one page":                         "list more than a page",
	"names are unescaped":                        "names of every kind",
	"delete wants something to delete":           "delete twice, and nothing else",
	"a buffer for all":                           "many at once",
	"versions are not looked at":                 "replace the version given only",
	"compares before it writes":                  "one of 64 replaces wins",
	"replace begins by deleting":                 "failing replace leaves the old one",
	"replaces in place":                          "replace is seen whole",
	"probe leaves its object":                    "probe leaves nothing",
	"unknown fields are refused":                 "unknown fields are ignored",
	"half-close is a commit":                     "half-close is no commit",
	"cancel is a commit, at any step":            "cancel is no commit",
	"offsets are not looked at":                  "damaged frames are refused",
	"checksums of frames are not looked at":      "damaged frames are refused",
	"the committed size is not looked at":        "a commit matches the frames",
	"the committed checksum is not looked at":    "a commit matches the frames",
	"reads no further than the commit":           "nothing follows a commit",
	"the end has the object's length":            "get is framed and sealed",
	"a get without an end":                       "get is framed and sealed",
	"two tables of instances":                    "objects take either connection",
	"a lost last part":                           "parts of every size",
	"an unknown condition is none":               "unknown conditions are refused",
	"dies at an unknown enum":                    "unknown conditions are refused",
	"a put id overwrites":                        "a put may be sent again",
	"names are not looked at":                    "names are checked by the plugin",
	"a list that trips over a change":            "list during change",
	"codes say nothing":                          "errors say their kind",
	"forbidden is said to be absent":             "forbidden is not absent",
	"a list that fails is empty":                 "forbidden is not absent",
	"missing is empty":                           "missing is not empty",
	"read-only is said to be a moment's trouble": "read-only is forbidden",
	"full leaves a torn write":                   "full is said so",
	"throttled is said to be absent":             "throttled is worth another try",
	"fewer puts than said":                       "puts to the limit and beyond",
	"larger than the limit":                      "the largest object",
	"objects in memory":                          "objects outlive the process",
	"close closes all":                           "instances are separate",
	"cancel is not heard":                        "cancel reaches the plugin",
	"a descriptor for each get":                  "a thousand operations leave nothing",
	"memory is kept":                             "a thousand operations leave nothing",
	"outlives its host":                          "ends with its host",
	"a child that survives":                      "ends with its host",
	"does not survive a stop":                    "stopped and resumed",
	"a lock that nobody breaks":                  "killed in the middle",
	"stores at SIGTERM":                          "told to end in the middle",
	"waits at SIGTERM":                           "told to end in the middle",
	"the token on standard error":                "secret settings appear nowhere",
	"the token in an error":                      "secret settings appear nowhere",
	"the token on a command line":                "secret settings are not for everybody",
	"a slow one":                                 "speed of put and get",
	"a variable and its value":                   "describes itself",
	"a finding shows the token":                  "a report tells no secret and changes nothing",
	"a finding is two lines":                     "a report tells no secret and changes nothing",
	"two findings of one name":                   "a report tells no secret and changes nothing",
	"report leaves its object":                   "a report tells no secret and changes nothing",
}

// ringMutants are broken key providers.
var ringMutants = map[string]string{
	"plain text":                     "a wrapped key shows nothing",
	"id is new every time":           "wrap and unwrap",
	"one id for all":                 "unwrap with another key",
	"tells the key":                  "keys appear nowhere",
	"tells the key in an error":      "keys appear nowhere",
	"accepts anything":               "unwrap what was tampered with",
	"does not check":                 "unwrap what was tampered with",
	"another key is damage":          "unwrap with another key",
	"damage is nothing special":      "unwrap what was tampered with",
	"exports what Dgraph cannot use": "export a key that fits",
	"exports another key each time":  "export a key that fits",
	"makes one key for all":          "data keys that the service makes",
	"makes a short key":              "data keys that the service makes",
	"wraps another key than it made": "data keys that the service makes",
	"names another version":          "data keys that the service makes",
	"rewraps another key":            "wrapped again by the key of today",
	"rewraps anything":               "wrapped again by the key of today",
	"rewraps with yesterday's key":   "wrapped again by the key of today",
	"odd keys are cut":               "wrap of odd sizes",
	"an empty key is made up":        "wrap of odd sizes",
	"any id will do":                 "unwrap under another id",
	"a key for each process":         "unwrap in another process",
	"close forgets the key of all":   "instances are separate",
	"one buffer":                     "many at once",
	"a file for each wrap":           "a thousand operations leave nothing",
}

// notHere are checks that no mutant here can break, and why.
var notHere = map[string]string{
	"put from any reader":       "the host reads the source: plugins/nfs has mutants in the process of the check",
	"put that is too late":      "the host does not even ask",
	"get cancelled":             "the host does not wait for the plugin",
	"names that lead elsewhere": "the host refuses them: plugins/nfs has a mutant in the process of the check",
	"wrap that is too late":     "the host does not even ask",
}

// Every mutant is found by the check that names what is broken, and every check
// finds one.
func TestKitCatchesMutants(t *testing.T) {
	defer func(d time.Duration) { lifeTime = d }(lifeTime)
	lifeTime = 2 * time.Second // they do not end later, either
	m := matrix{}
	slots := make(chan struct{}, 4)
	t.Run("mutants", func(t *testing.T) {
		for _, name := range slices.Sorted(maps.Keys(boxMutants)) {
			m.try(t, slots, "destination", name, boxMutants[name], func(t *testing.T) iter.Seq[Result] {
				s := boxAt(t, strings.TrimSuffix(name, ", at any step"))
				s.Only = []string{boxMutants[name]}
				return s.Destination(t.Context())
			})
		}
		for _, name := range slices.Sorted(maps.Keys(ringMutants)) {
			m.try(t, slots, "keyprovider", name, ringMutants[name], func(t *testing.T) iter.Seq[Result] {
				s := ringOf("0123456789abcdef", name)
				s.Only = []string{ringMutants[name]}
				return s.KeyProvider(t.Context())
			})
		}
	})
	m.show(t)
}

// A matrix has the mutants that each check has found.
type matrix map[string][]string

// try has one mutant checked, a few at a time.
func (m matrix) try(t *testing.T, slots chan struct{}, kind, mutant, check string, run func(*testing.T) iter.Seq[Result]) {
	found := kind + ": " + mutant
	m[check] = append(m[check], found)
	t.Run(found, func(t *testing.T) {
		t.Parallel()
		slots <- struct{}{}
		defer func() { <-slots }()
		checks := 0
		for r := range run(t) {
			checks++
			if len(r.Failures) == 0 {
				t.Errorf("check %q found nothing (skipped: %q)", r.Check, r.Skipped)
			}
			t.Logf("%s: %.300q", r.Check, r.Failures)
		}
		if checks != 1 {
			t.Errorf("%d checks have the name %q", checks, check)
		}
	})
}

// show prints which check finds which mutants, and wants one for each.
func (m matrix) show(t *testing.T) {
	t.Helper()
	var b strings.Builder
	seen := map[string]bool{}
	for _, c := range append(Checks("destination"), Checks("keyprovider")...) {
		if seen[c.Name] {
			continue
		}
		seen[c.Name] = true
		fmt.Fprintf(&b, "%-14s %-40s", c.Group, c.Name)
		switch reason, excused := notHere[c.Name]; {
		case len(m[c.Name]) > 0 && excused:
			t.Errorf("check %q finds %q, and is said to find none", c.Name, m[c.Name])
		case len(m[c.Name]) == 0 && !excused:
			t.Errorf("no mutant is found by the check %q", c.Name)
		case excused:
			fmt.Fprintf(&b, " - %s\n", reason)
		}
		for i, mutant := range m[c.Name] {
			if i > 0 {
				fmt.Fprintf(&b, "%56s", "")
			}
			fmt.Fprintf(&b, "%s\n", mutant)
		}
	}
	t.Logf("which check finds which mutant:\n%s", b.String())
}
