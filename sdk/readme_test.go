package sdk_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk/conformance"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The programs that the guide shows are those that are built and checked.
func TestGuideShowsWhatIsChecked(t *testing.T) {
	guide := read(t, "README.md")
	for program, limit := range map[string]int{"shelf": 60, "safe": 40} {
		_, code, _ := strings.Cut(read(t, "example/"+program+"/main.go"), "\npackage main\n")
		if !strings.Contains(guide, "```go\npackage main\n"+code+"```\n") {
			t.Errorf("README.md does not show %s as it is", program)
		}
		_, body, _ := strings.Cut(code, "\n)\n") // the imports
		lines := 0
		for line := range strings.Lines(body) {
			if strings.Trim(line, " \t\n{})") != "" {
				lines++
			}
		}
		if lines > limit {
			t.Errorf("%s has %d lines of code, want at most %d", program, lines, limit)
		}
	}
}

var (
	ruleNumber = regexp.MustCompile(`(?m)^\* \*\*R(\d+)\*\* `)
	ruleChecks = regexp.MustCompile("\\*Checks:((?:\\s+`[^`]+`,?)+)\\*")
	checkName  = regexp.MustCompile("`([^`]+)`")
)

// Every rule of the protocol names the checks that find out, and there is no
// check without a rule.
func TestEveryRuleHasItsChecks(t *testing.T) {
	_, rules, _ := strings.Cut(read(t, "README.md"), "\n## The protocol, for other languages\n")
	var checks, named, numbers []string
	for _, kind := range []string{"destination", "keyprovider"} {
		for _, c := range conformance.Checks(kind) {
			checks = append(checks, c.Name)
		}
	}
	starts := ruleNumber.FindAllStringSubmatchIndex(rules, -1)
	for i, s := range starts {
		number, end := rules[s[2]:s[3]], len(rules)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		if slices.Contains(numbers, number) {
			t.Errorf("there are two rules R%s", number)
		}
		numbers = append(numbers, number)
		list := ruleChecks.FindStringSubmatch(rules[s[0]:end])
		if list == nil {
			t.Errorf("rule R%s names no checks", number)
			continue
		}
		for _, m := range checkName.FindAllStringSubmatch(list[1], -1) {
			name := strings.Join(strings.Fields(m[1]), " ")
			if named = append(named, name); !slices.Contains(checks, name) {
				t.Errorf("rule R%s names the check %q, which does not exist", number, name)
			}
		}
	}
	if len(starts) < 30 {
		t.Errorf("only %d rules", len(starts))
	}
	for _, c := range checks {
		if !slices.Contains(named, c) {
			t.Errorf("no rule names the check %q", c)
		}
	}
}
