package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"
)

// The report that CI servers read: one suite, a case for every check.
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"` // seconds
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitSkipped `xml:"skipped"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

func writeJUnit(file string, v *kitReport) error {
	name := programName(v.Path)
	suite := junitSuite{
		Name: name, Tests: len(v.Checks), Failures: v.Broken, Skipped: v.Skipped,
		Time: seconds(v.Seconds), Timestamp: v.Began.UTC().Format("2006-01-02T15:04:05"),
	}
	for _, r := range v.Checks {
		c := junitCase{Class: name + "." + strings.ReplaceAll(r.Group, " ", "_"), Name: r.Name, Time: seconds(r.Seconds)}
		switch r.Status {
		case "failed":
			first, _, _ := strings.Cut(r.Failures[0], "\n")
			c.Failure = &junitFailure{first, r.Profile, strings.Join(r.Failures, "\n")}
		case "skipped":
			c.Skipped = &junitSkipped{r.Skipped}
		}
		suite.Cases = append(suite.Cases, c)
	}
	data, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte(xml.Header), append(data, '\n')...), 0o644) //nolint:gosec // for a CI server to read; it holds no secret
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }
