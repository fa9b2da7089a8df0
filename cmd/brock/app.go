package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/plugindir"
)

// An app is one run of the program: what all commands share.
type app struct {
	stdout io.Writer
	screen *screen

	json       bool
	verbose    bool
	memory     string
	pluginDirs []string
	pluginEnv  []string
	reattach   []string
	trace      string
	pluginLog  []string
	trust      string

	options plugindir.Options // of plugins
	ran     bool              // a command was chosen and its flags were understood
	logger  hclog.Logger
	plugins *plugindir.Dirs
	engine  *host.Engine
}

const exitCodes = `
Exit codes:
  0  it worked
  1  it failed
  2  usage: another command line would cure it
  3  damage was found
`

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "brock",
		Short: "Back up and restore Badger databases and Dgraph clusters",
		Long: `Brock backs up Badger databases and Dgraph postings, in full and incrementally, to
any place that a plugin can write to, and restores them. It reads and writes
Dgraph's own backup format.

A location is a path, or a URI whose scheme names the plugin that serves it and
whose query holds settings of that plugin: scheme://host/path?name=value&name=value.
In the query, & is written as %26, # as %23 and % as %25; a + is a space, except in
keys, secrets and tokens, which have none. Secrets of a URI are taken off the list
of processes at once; --location-settings FILE keeps them off the command line.
Names of flags may be written with dashes or with underscores.`,
		Example: `  brock backup -p ./data -l ./backups
  brock ls -l ./backups
  brock restore -l ./backups -p ./restored`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(a.stdout)
	root.SetErr(a.screen)
	root.SetUsageTemplate(root.UsageTemplate() + exitCodes)
	root.SetGlobalNormalizationFunc(dashes)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError(cmd.CommandPath()+" --help lists the flags", "%v", err)
	})

	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "print results, progress and errors as JSON")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log what is going on")
	f.StringArrayVar(&a.pluginEnv, "plugin-env", nil, "let plugins see the environment variable `NAME` (repeatable)")
	f.StringArrayVar(&a.pluginDirs, "plugin-dir", nil, "look for plugins in `DIR` first (repeatable)")
	f.StringArrayVar(&a.pluginLog, "plugin-log-level", nil, "log what plugins say from `[NAME=]LEVEL` on: trace, debug, info, warn, error or off (repeatable)")
	f.StringArrayVar(&a.reattach, "plugin-reattach", nil, "use the plugin that runs already, as `NAME=FILE`: see its argument debug (repeatable)")
	f.StringVar(&a.trace, "plugin-trace", "", "record every call to a plugin in `DIR`, without secrets")
	f.StringVar(&a.trust, "plugin-trust", "open", "`TRUST` plugins that no plugins.lock lists (open), or only those that one does (locked)")
	f.StringVar(&a.memory, "memory", "256MiB", "buffers may take `SIZE`")

	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.start() }
	root.AddCommand(a.backup(), a.restore(), a.ls(), a.verify(), a.export(), a.prune(), a.pin(), a.serve(), a.key(), a.plugin(), a.version())
	return root
}

// start prepares what every command uses, once the flags are known.
func (a *app) start() error {
	memory, err := humanize.ParseBytes(a.memory)
	if err != nil || memory > 1<<50 {
		return usageError("a size is a number with a unit, such as 512MiB", "--memory %s is not a size", a.memory)
	}
	levels, err := logLevels(a.pluginLog)
	if err != nil {
		return err
	}
	attached, err := nameFiles(a.reattach)
	if err != nil {
		return err
	}
	if a.trace != "" {
		if err := os.MkdirAll(a.trace, 0o700); err != nil {
			return usageError("name a directory of yours, or one that is not there yet", "--plugin-trace: %v", err)
		}
	}
	trust := plugindir.Trust(a.trust)
	if trust != plugindir.Open && trust != plugindir.Locked {
		return usageError("", "--plugin-trust %s: there are open and locked", a.trust)
	}
	a.ran = true
	a.screen.json = a.json
	level := hclog.Warn
	if a.verbose {
		level = hclog.Debug
	}
	a.logger = hclog.New(&hclog.LoggerOptions{
		Name: "brock", Level: level, Output: a.screen, JSONFormat: a.json, DisableTime: !a.verbose,
		IndependentLevels: true, // of the plugins'
	})
	a.options = plugindir.Options{
		Logger: a.logger, Env: permitted(a.pluginEnv), LogLevels: levels,
		Trust: trust, CacheDir: plugindir.CacheDir(),
		LogDir: plugindir.LogDir(), TraceDir: a.trace, Attached: attached,
	}
	a.plugins = plugindir.New(append(a.pluginDirs, plugindir.DefaultDirs()...), a.options)
	for name := range levels {
		if name == "" {
			continue
		}
		if err := a.knows(name); err != nil {
			return fmt.Errorf("--plugin-log-level: %w", err)
		}
	}
	a.engine = &host.Engine{Logger: a.logger, Progress: a.screen.progress, Memory: int64(memory), Version: "brock " + versionString()}
	return nil
}

// nameFiles returns the files of plugins that run already, by name.
func nameFiles(words []string) (map[string]string, error) {
	files := map[string]string{}
	for _, word := range words {
		name, file, ok := strings.Cut(word, "=")
		if !ok || name == "" || file == "" {
			return nil, usageError("a plugin that is started with the argument debug prints it", "--plugin-reattach %s is not NAME=FILE", word)
		}
		if files[name] != "" {
			return nil, usageError("keep one of them", "--plugin-reattach names %s twice", name)
		}
		files[name] = file
	}
	return files, nil
}

// permitted returns those of the environment variables that are set, as NAME=value.
func permitted(names []string) (env []string) {
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func (a *app) close() {
	if a.plugins == nil {
		return
	}
	if err := a.plugins.Close(); err != nil {
		a.logger.Warn("a plugin did not end well", "error", err)
	}
}

// result prints what a command is for: v as JSON, or else what text writes.
func (a *app) result(v any, text func(w io.Writer)) error {
	a.screen.clear()
	if !a.json {
		var b bytes.Buffer
		text(&b)
		_, err := io.WriteString(a.stdout, harmless(b.String()))
		return err
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// dashes makes --backup_id, as Dgraph spells it, the same flag as --backup-id.
func dashes(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	b := []byte(name)
	for i := range b {
		if b[i] == '_' {
			b[i] = '-'
		}
	}
	return pflag.NormalizedName(b)
}

func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		return usageError(cmd.CommandPath()+" --help lists the commands", "unknown command %q", args[0])
	}
	return usageError(cmd.CommandPath()+" --help lists the flags: everything is said with flags", "unexpected argument %q", args[0])
}

// exclusive makes sure that at most one of the flags is given.
func exclusive(names ...string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		var given []string
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				given = append(given, "--"+name)
			}
		}
		if len(given) > 1 {
			return usageError("keep one of them", "%s exclude each other", strings.Join(given, " and "))
		}
		return nil
	}
}
