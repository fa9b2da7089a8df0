package main

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// CI servers read suites with counts, and cases that are passed unless they have
// a failure or are skipped. What a plugin said may be anything.
func TestJUnitReport(t *testing.T) {
	v := &kitReport{Path: "/x/brock-destination-x", Kind: "destination", Began: time.Unix(0, 0), Seconds: 1.5}
	v.add(kitResult{Name: "put & get", Group: "put and get", Profile: "core", Seconds: 0.25})
	v.add(kitResult{Name: "list", Group: "list", Profile: "core", Failures: []string{"got <\x00\x1b]]>, want \"a\"\nsecond line", "more"}})
	v.add(kitResult{Name: "probe", Group: "list", Profile: "probe", Skipped: "cannot"})
	file := filepath.Join(t.TempDir(), "report.xml")
	if err := writeJUnit(file, v); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		XMLName xml.Name `xml:"testsuites"`
		Suite   []struct {
			Name      string  `xml:"name,attr"`
			Tests     int     `xml:"tests,attr"`
			Failures  int     `xml:"failures,attr"`
			Errors    int     `xml:"errors,attr"`
			Skipped   int     `xml:"skipped,attr"`
			Time      float64 `xml:"time,attr"`
			Timestamp string  `xml:"timestamp,attr"`
			Case      []struct {
				Class   string  `xml:"classname,attr"`
				Name    string  `xml:"name,attr"`
				Time    float64 `xml:"time,attr"`
				Failure []struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
				Skipped []struct {
					Message string `xml:"message,attr"`
				} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(data, &got); err != nil {
		t.Fatalf("%v:\n%s", err, data)
	}
	if len(got.Suite) != 1 || len(got.Suite[0].Case) != 3 {
		t.Fatalf("want one suite of 3 cases:\n%s", data)
	}
	s := got.Suite[0]
	if s.Name != "brock-destination-x" || s.Tests != 3 || s.Failures != 1 || s.Errors != 0 || s.Skipped != 1 || s.Time != 1.5 {
		t.Errorf("the suite is %+v", s)
	}
	if _, err := time.Parse("2006-01-02T15:04:05", s.Timestamp); err != nil {
		t.Error(err)
	}
	if c := s.Case[0]; c.Name != "put & get" || c.Class != "brock-destination-x.put_and_get" || c.Time != 0.25 || len(c.Failure)+len(c.Skipped) != 0 {
		t.Errorf("the first case is %+v", c)
	}
	if c := s.Case[1]; len(c.Failure) != 1 || !strings.Contains(c.Failure[0].Text, "second line\nmore") || strings.Contains(c.Failure[0].Message, "\n") {
		t.Errorf("the second case is %+v", c)
	}
	if c := s.Case[2]; len(c.Skipped) != 1 || c.Skipped[0].Message != "cannot" {
		t.Errorf("the third case is %+v", c)
	}
}

// A profile is reached if a promise of it was kept, and none broken.
func TestProfilesReached(t *testing.T) {
	v := &kitReport{}
	v.add(kitResult{Profile: "core"})
	v.add(kitResult{Profile: "probe", Skipped: "cannot"})
	v.add(kitResult{Profile: "replace"})
	v.add(kitResult{Profile: "replace", Failures: []string{"no"}})
	if want := []string{"core"}; !slices.Equal(v.Profiles, want) {
		t.Errorf("profiles reached: %v, want %v", v.Profiles, want)
	}
	if err := v.verdict(nil); err == nil || (&app{ran: true}).exitCode(err) != exitDamage {
		t.Errorf("with a broken promise: %v, want exit code %d", err, exitDamage)
	}
	v = &kitReport{}
	v.add(kitResult{Profile: "core"})
	if err := v.verdict([]string{"core"}); err != nil {
		t.Errorf("with all promises kept: %v", err)
	}
	if err := v.verdict([]string{"probe"}); err == nil {
		t.Error("a profile that was asked for is not reached, and that is fine")
	}
}

func TestSettingsFiles(t *testing.T) {
	want := map[string]any{"uri": "/x", "depth": "0700", "nested": map[string]any{"a": true}}
	for name, text := range map[string]string{
		"json":  "{\"uri\": \"/x\",\n\t\"depth\": \"0700\", \"nested\": {\"a\": true}}\n",
		"yaml":  "# where\nuri: /x\ndepth: \"0700\"\nnested:\n  a: true\n",
		"mixed": "{uri: /x, depth: '0700', nested: {a: true}}",
	} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readSettings(file); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	for i, text := range []string{"token: *canary", "canary", "- canary", "a: canary\n b: canary", "canary: 1\ncanary: 2", "{\"a\": canary", "a: !!int canary", "\xffcanary: 1", ""} {
		file := filepath.Join(t.TempDir(), strconv.Itoa(i))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readSettings(file); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v, want an error that shows nothing of it", text, err)
		}
	}
}

func TestNearNames(t *testing.T) {
	names := []string{"put never overwrites", "get cancelled", "list order and prefixes"}
	for asked, want := range map[string]string{
		"put nevr overwrites": "put never overwrites", "cancel": "get cancelled", "list ordering": "list order and prefixes", "xyz": "",
	} {
		if got := strings.Join(near(asked, names), ","); got != want {
			t.Errorf("near(%q) = %q, want %q", asked, got, want)
		}
	}
}

// What is going on is shown on a terminal alone, in one line that goes away.
func TestStatusLine(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.status("nobody sees this")
	s.terminal = func() (int, bool) { return 10, true }
	s.status("1/2  first check")
	s.status("2/2")
	s.clear()
	if got, want := out.String(), "1/2  firs\r\x1b[K2/2\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWrap(t *testing.T) {
	if got, want := wrap("one two  three verylongword x", 9), "one two\nthree\nverylongword\nx"; got != want {
		t.Errorf("wrap = %q, want %q", got, want)
	}
}
