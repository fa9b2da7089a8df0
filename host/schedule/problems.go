package schedule

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/brock-backup/brock/sdk"
)

// A ConfigError tells all that is wrong with a configuration, a line each.
type ConfigError struct{ Problems []string }

// Error is the first of the problems, or all of them.
func (e *ConfigError) Error() string { return strings.Join(e.Problems, "\n") }

// Is makes it an [sdk.ErrInvalid].
func (e *ConfigError) Is(target error) bool { return target == sdk.ErrInvalid }

// Hint says what to do about it.
func (e *ConfigError) Hint() string {
	return "README.md, \"Schedule, retention, metrics\", shows a configuration"
}

// problems are collected while a file is read.
type problems struct {
	file string
	list []string
}

func (p *problems) add(line int, format string, args ...any) {
	where := p.file
	if line > 0 {
		where = fmt.Sprintf("%s:%d", p.file, line)
	}
	p.list = append(p.list, where+": "+fmt.Sprintf(format, args...))
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &ConfigError{p.list}
}

// decode fills c. Errors of package yaml may show values, and are told without.
func decode(p *problems, data []byte, c *Config) {
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		p.yaml(err)
		return
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		p.add(more.Line, "one document is wanted, there are more")
		return
	}
	if len(doc.Content) == 0 {
		return
	}
	known(p, doc.Content[0], c)
	c.lines = map[string]int{}
	for i, n := range doc.Content[0].Content {
		if i%2 == 0 {
			c.lines[n.Value] = n.Line
		}
	}
	if len(p.list) == 0 {
		p.yaml(doc.Decode(c))
	}
}

var (
	yamlLine = regexp.MustCompile(`line (\d+)`)
	yamlInto = regexp.MustCompile(`into ([\w.\[\]]+)$`)
	yamlKind = map[string]string{"int": "a number", "bool": "true or false", "string": "text", "schedule.Duration": "a duration"}
)

// yaml tells what package yaml did not like, without the value.
func (p *problems) yaml(err error) {
	if err == nil {
		return
	}
	texts := []string{err.Error()}
	if te := (*yaml.TypeError)(nil); errors.As(err, &te) {
		texts = te.Errors
	}
	for _, text := range texts {
		line := 0
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			_, _ = fmt.Sscan(m[1], &line)
		}
		own := (*valueError)(nil)
		m := yamlInto.FindStringSubmatch(text)
		switch {
		case errors.As(err, &own):
			p.add(own.line, "%s", own.text)
		case strings.Contains(text, "already defined"):
			p.add(line, "a key stands there for the second time")
		case m != nil && yamlKind[m[1]] != "":
			p.add(line, "%s is wanted", yamlKind[m[1]])
		case m != nil && strings.HasPrefix(m[1], "[]"):
			p.add(line, "a list is wanted, whose items begin with -")
		case m != nil:
			p.add(line, "names and values are wanted, as in \"name: hourly\"")
		default:
			p.add(line, "not YAML; a value with special characters stands in quotation marks, and lines are indented with spaces")
		}
	}
}
