package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// readSettings returns the settings in a file of YAML or JSON. They may be
// secret: no error shows any part of the file but the number of a line.
func readSettings(file string) (map[string]any, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError("settings are YAML or JSON, as in \"uri: /mnt/backups\"", "%v", err)
	}
	settings := map[string]any{}
	if text := bytes.TrimSpace(data); bytes.HasPrefix(text, []byte("{")) && json.Valid(text) {
		if json.Unmarshal(text, &settings) == nil {
			return settings, nil
		}
	}
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		where := ""
		if line := inLine.FindString(err.Error()); line != "" {
			where = " in " + line
		}
		return nil, usageError("a value with special characters stands in quotation marks", "%s is neither YAML nor JSON%s", file, where)
	}
	settings, ok := v.(map[string]any)
	if !ok {
		return nil, usageError("settings are names and values, as in \"uri: /mnt/backups\"", "%s has no settings", file)
	}
	return settings, nil
}

var inLine = regexp.MustCompile(`line \d+`)

// setSettings changes settings by words NAME=VALUE.
func setSettings(settings map[string]any, words []string) error {
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return errors.New("--setting is a name and a value, as in --setting uri=/mnt/backups")
		}
		settings[name] = value
	}
	return nil
}
