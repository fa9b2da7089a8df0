// Package python holds the SDK for plugins in Python: the package brock_plugin,
// as files to be copied into a plugin's project.
//
// It is the protocol in another language, so that a Python author writes a
// class and nothing else; brock_plugin/__init__.py says what that class has.
package python

import "embed"

// Files has the directory brock_plugin.
//
//go:embed brock_plugin/*.py
var Files embed.FS
